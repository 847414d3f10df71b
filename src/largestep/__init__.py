"""largestep: a reproduction of "SGD with Large Step Sizes Learns Sparse Features"."""

import os

# Stores are replaced whole, never written to, so a reader needs no lock; where another holds one, or the file system
# has none, HDF5 would take a sound store for a damaged one. It looks at this once, when it is loaded.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")

__version__ = "0.1.0"
