"""The toy networks, all runs of a cell at once in float64: networks, kernels, training."""
