"""Measures of what a network has learned: Jacobian rank, feature sparsity, number of non-zeros."""

# The dimensions that every measure of a snapshot has.
RUN = ("arm", "seed", "snapshot_step")
