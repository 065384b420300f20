"""Weights and images (files, a folder, sealed shards) → a table of probabilities.

`classifier` reads the weights, `files` reads the images, `table` writes the rows, and
`probabilities` is the way from one to the other.
"""

from trainer.predict.classifier import Classifier, load_classifier
from trainer.predict.probabilities import Predicted, predict_files, predict_shards

__all__ = ["Classifier", "Predicted", "load_classifier", "predict_files", "predict_shards"]
