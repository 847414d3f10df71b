"""Training dynamics: kernels that are pure functions of data, parameters, indices, step sizes and noise."""
