"""Probabilities and labels → AUCs with intervals, differences of arms, calibration.

`scores` is one run's; `bootstrap` resamples patients, `inference` adds the spread of the seeds and
gives the verdict, `metrics` holds the other figures.
"""
