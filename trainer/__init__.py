"""xtrain: a sealed dataset in, AUC per pathology with curves and predictions out."""
