"""Data sets: each kind is a module with one function, `draw`, that returns a data set of named arrays."""
