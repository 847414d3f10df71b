"""largestep: a reproduction of "SGD with Large Step Sizes Learns Sparse Features"."""

__version__ = "0.1.0"
