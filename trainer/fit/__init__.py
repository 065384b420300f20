"""Batches and a network → the weights of the best epoch, a history and a checkpoint.

`loop` takes the steps, `score` applies the network, `checkpoint` and `history` are what a run
leaves on disk; `control` says when to save and stop, `devices` where it computes, `track` who else
is told.
"""
