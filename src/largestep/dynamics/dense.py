"""SGD on a dense ReLU network of any depth, in float64, many runs at once (paper, Fig. 4, 5, 10)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from largestep.dynamics.compiled import each_run, kernel

Array = NDArray[np.float64]


# Indices into the flat parameters are unsigned: numba lets signed ones count from the end, and the
# test for that keeps the loops from becoming vector instructions. So does a loop over one column.
@kernel
def _forward(parameters, x, widths, biased, activations):
    """Fill activations (layers + 1, widest) with the input and each layer's output; return h(x)."""
    layers = len(widths) - 1
    for k in range(widths[0]):
        activations[0, k] = x[k]
    start = np.uint64(0)
    for layer in range(layers):
        above = layer + 1
        rows, columns = np.uint64(widths[above]), np.uint64(widths[layer])
        bias = start + rows * columns
        if columns == 1:
            below = activations[layer, 0]
            if biased[layer]:
                for j in range(rows):
                    activations[above, j] = parameters[bias + j] + parameters[start + j] * below
            else:
                for j in range(rows):
                    activations[above, j] = parameters[start + j] * below
        else:
            for j in range(rows):
                z = parameters[bias + j] if biased[layer] else 0.0
                row = start + j * columns
                for k in range(columns):
                    z += parameters[row + k] * activations[layer, k]
                activations[above, j] = z
        if above < layers:
            for j in range(rows):
                # Written so that NaN passes, as in torch: a diverged run must not look inactive.
                z = activations[above, j]
                activations[above, j] = 0.0 if z <= 0.0 else z
        start = bias + rows if biased[layer] else bias
    return activations[layers, 0]


@kernel
def _add_gradient(parameters, widths, biased, activations, deltas, output_delta, gradient):
    """Add output_delta times the gradient of h to gradient, by back-propagation."""
    layers = len(widths) - 1
    deltas[layers, 0] = output_delta
    start = np.uint64(len(parameters))
    for layer in range(layers - 1, -1, -1):
        rows, columns = np.uint64(widths[layer + 1]), np.uint64(widths[layer])
        if biased[layer]:
            start -= rows
            for j in range(rows):
                gradient[start + j] += deltas[layer + 1, j]
        start -= rows * columns
        if columns == 1:
            below, total = activations[layer, 0], 0.0
            for j in range(rows):
                gradient[start + j] += deltas[layer + 1, j] * below
                total += deltas[layer + 1, j] * parameters[start + j]
            deltas[layer, 0] = total
        else:
            for k in range(columns):
                deltas[layer, k] = 0.0
            for j in range(rows):
                delta = deltas[layer + 1, j]
                if delta == 0.0:
                    continue
                row = start + j * columns
                for k in range(columns):
                    gradient[row + k] += delta * activations[layer, k]
                    deltas[layer, k] += delta * parameters[row + k]
        if layer > 0:
            for k in range(columns):
                deltas[layer, k] = 0.0 if activations[layer, k] <= 0.0 else deltas[layer, k]


@kernel
def _advance_run(
    parameters,
    velocity,
    x,
    y,
    indices,
    label_noise,
    step_sizes,
    residual_factor,
    momentum,
    weight_decay,
    widths,
    biased,
    activations,
    deltas,
    gradient,
):
    """Take the steps of one run in place, up to the one at which it diverges, and return how many.

    activations, deltas: (layers + 1, widest) and gradient: (p,) are room to work in.
    """
    whole = indices.shape[1] == 0
    batch = len(y) if whole else indices.shape[1]
    noisy = label_noise.shape[1] > 0
    heavy = momentum > 0.0 or weight_decay > 0.0
    for step in range(len(step_sizes)):
        for k in range(len(parameters)):
            gradient[k] = 0.0
        finite = True
        for b in range(batch):
            example = b if whole else indices[step, b]
            residual = _forward(parameters, x[example], widths, biased, activations) - y[example]
            if noisy:
                residual -= label_noise[step, b]
            finite = finite and np.isfinite(residual)
            output_delta = residual_factor * residual / batch
            _add_gradient(parameters, widths, biased, activations, deltas, output_delta, gradient)
        if not finite:
            return step
        if heavy:
            for k in range(len(parameters)):
                velocity[k] = momentum * velocity[k] + gradient[k] + weight_decay * parameters[k]
                parameters[k] -= step_sizes[step] * velocity[k]
        else:
            for k in range(len(parameters)):
                parameters[k] -= step_sizes[step] * gradient[k]
    return len(step_sizes)


def advance(
    parameters: Array,
    velocity: Array,
    inputs: Array,
    labels: Array,
    dataset: NDArray[np.int64],
    indices: NDArray[np.int64],
    label_noise: Array,
    step_sizes: Array,
    residual_factor: float,
    momentum: float,
    weight_decay: float,
    first_step: int,
    diverged_step: NDArray[np.int64],
    widths: NDArray[np.int64],
    biased: NDArray[np.bool_],
) -> None:
    """Take len(step_sizes) steps of SGD in place, on numba's number of threads.

    parameters: (runs, p), each layer's weights, row by row, then its biases, as torch orders them.
    widths: units of every layer, input and output included; biased: whether each layer has biases.
    The other arguments are those of `largestep.dynamics.diagonal.advance`.
    """

    def advance_run(run: int) -> int:
        taken = _advance_run(
            parameters[run],
            velocity[run],
            inputs[dataset[run]],
            labels[dataset[run]],
            indices[run],
            label_noise[run],
            step_sizes,
            residual_factor,
            momentum,
            weight_decay,
            widths,
            biased,
            np.empty((len(widths), widths.max())),
            np.empty((len(widths), widths.max())),
            np.empty(parameters.shape[1]),
        )
        if taken < len(step_sizes):
            parameters[run] = np.nan
        return int(taken)

    each_run(advance_run, len(step_sizes), first_step, diverged_step)


@kernel
def predict(parameters, inputs, dataset, widths, biased):
    """h(x) of every run on its own data set.

    parameters: (runs, p); inputs: (datasets, n, d); dataset: (runs,). Returns (runs, n).
    """
    runs, n = len(parameters), inputs.shape[1]
    outputs = np.empty((runs, n))
    activations = np.empty((len(widths), widths.max()))
    for run in range(runs):
        for i in range(n):
            outputs[run, i] = _forward(parameters[run], inputs[dataset[run], i], widths, biased, activations)
    return outputs
