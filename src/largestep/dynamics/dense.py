"""SGD on a dense ReLU network of any depth, in float64, many runs at once (paper, Fig. 4, 5, 10)."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Array = NDArray[np.float64]


# Loops over a layer of one row or one column are written apart, over slices, to become vector instructions.
@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _forward(parameters, x, widths, biased, activations):
    """Fill activations (layers + 1, widest) with the input and each layer's output; return h(x)."""
    layers = len(widths) - 1
    for k in range(widths[0]):
        activations[0, k] = x[k]
    start = 0
    for layer in range(layers):
        rows, columns = widths[layer + 1], widths[layer]
        below, above = activations[layer], activations[layer + 1]
        bias = start + rows * columns
        if rows == 1 or columns == 1:
            weights = parameters[start:bias]
            if rows == 1:
                z = 0.0
                for k in range(columns):
                    z += weights[k] * below[k]
                above[0] = z
            else:
                for j in range(rows):
                    above[j] = weights[j] * below[0]
        else:
            for j in range(rows):
                z = 0.0
                for k in range(columns):
                    z += parameters[start + j * columns + k] * below[k]
                above[j] = z
        start = bias
        if biased[layer]:
            biases = parameters[bias : bias + rows]
            for j in range(rows):
                above[j] += biases[j]
            start += rows
        if layer < layers - 1:
            for j in range(rows):
                # Written so that NaN passes, as in torch: a diverged run must not look inactive.
                above[j] = 0.0 if above[j] <= 0.0 else above[j]
    return activations[layers, 0]


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _add_gradient(parameters, widths, biased, activations, deltas, output_delta, gradient):
    """Add output_delta times the gradient of h to gradient, by back-propagation."""
    layers = len(widths) - 1
    deltas[layers, 0] = output_delta
    start = len(parameters)
    for layer in range(layers - 1, -1, -1):
        rows, columns = widths[layer + 1], widths[layer]
        below, delta_below, delta_above = activations[layer], deltas[layer], deltas[layer + 1]
        if biased[layer]:
            start -= rows
            biases = gradient[start : start + rows]
            for j in range(rows):
                biases[j] += delta_above[j]
        end = start
        start -= rows * columns
        if rows == 1 or columns == 1:
            weights, slopes = parameters[start:end], gradient[start:end]
            if rows == 1:
                delta = delta_above[0]
                for k in range(columns):
                    slopes[k] += delta * below[k]
                    delta_below[k] = delta * weights[k]
            else:
                delta = 0.0
                for j in range(rows):
                    slopes[j] += delta_above[j] * below[0]
                    delta += delta_above[j] * weights[j]
                delta_below[0] = delta
        else:
            for k in range(columns):
                delta_below[k] = 0.0
            for j in range(rows):
                delta = delta_above[j]
                if delta == 0.0:
                    continue
                for k in range(columns):
                    gradient[start + j * columns + k] += delta * below[k]
                    delta_below[k] += delta * parameters[start + j * columns + k]
        if layer > 0:
            for k in range(columns):
                delta_below[k] = 0.0 if below[k] <= 0.0 else delta_below[k]


@njit(cache=True, parallel=True, error_model="numpy", fastmath={"reassoc", "contract"})
def advance(
    parameters,
    velocity,
    inputs,
    labels,
    dataset,
    indices,
    label_noise,
    step_sizes,
    residual_factor,
    momentum,
    weight_decay,
    first_step,
    diverged_step,
    widths,
    biased,
):
    """Take len(step_sizes) steps of SGD in place.

    parameters: (runs, p), each layer's weights, row by row, then its biases, as torch orders them.
    widths: units of every layer, input and output included; biased: whether each layer has biases.
    The other arguments are those of `largestep.dynamics.diagonal.advance`.
    """
    runs, size = parameters.shape
    steps, batch = indices.shape[1], indices.shape[2]
    noisy = label_noise.shape[2] > 0
    heavy = momentum > 0.0 or weight_decay > 0.0
    for run in prange(runs):
        if diverged_step[run] >= 0:
            continue
        x, y = inputs[dataset[run]], labels[dataset[run]]
        current = parameters[run]
        activations = np.empty((len(widths), widths.max()))
        deltas = np.empty((len(widths), widths.max()))
        gradient = np.empty(size)
        for step in range(steps):
            gradient[:] = 0.0
            finite = True
            for b in range(batch):
                example = indices[run, step, b]
                residual = _forward(current, x[example], widths, biased, activations) - y[example]
                if noisy:
                    residual -= label_noise[run, step, b]
                finite = finite and np.isfinite(residual)
                _add_gradient(
                    current, widths, biased, activations, deltas, residual_factor * residual / batch, gradient
                )
            if not finite:
                diverged_step[run] = first_step + step
                current[:] = np.nan
                break
            step_size = step_sizes[step]
            if heavy:
                for k in range(size):
                    velocity[run, k] = momentum * velocity[run, k] + gradient[k] + weight_decay * current[k]
                    current[k] -= step_size * velocity[run, k]
            else:
                for k in range(size):
                    current[k] -= step_size * gradient[k]


@njit(cache=True, parallel=True, error_model="numpy", fastmath={"reassoc", "contract"})
def predict(parameters, inputs, dataset, widths, biased):
    """h(x) of every run on its own data set.

    parameters: (runs, p); inputs: (datasets, n, d); dataset: (runs,). Returns (runs, n).
    """
    runs, n = len(parameters), inputs.shape[1]
    outputs = np.empty((runs, n))
    for run in prange(runs):
        activations = np.empty((len(widths), widths.max()))
        for i in range(n):
            outputs[run, i] = _forward(parameters[run], inputs[dataset[run], i], widths, biased, activations)
    return outputs
