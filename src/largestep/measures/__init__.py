"""Measures of what a network has learned: Jacobian rank, feature sparsity, number of non-zeros."""
