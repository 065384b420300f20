"""Weights and images (files, a folder, sealed shards) → a table of probabilities.

`classifier` reads the weights, `files` the images, `table` writes; `probabilities` is the line.
"""
