"""A small generated data set to try modos with."""
