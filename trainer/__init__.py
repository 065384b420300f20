"""xtrain: a sealed dataset → a classifier, its AUC per pathology, curves and predictions.

`train` is the pipeline: stream → fit → evaluate → report. `recipe` says what decides a run's
weights, `config` makes a run of what was asked for, and `experiment` trains every arm and compares
them.
"""
