"""fit-gan: the sealed real training images of a dataset into a conditional generator."""
