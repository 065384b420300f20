"""Batches and a network → the weights of the best epoch, a history and a checkpoint.

`loop` goes from epoch to epoch, `step` takes the steps, `score` applies the network. `run_folder`
names, saves and loads a run's files, whose contents `checkpoint` and `history` describe. `control`
says when to save and stop, `devices` where to compute, `track` who else draws the curves.
"""
