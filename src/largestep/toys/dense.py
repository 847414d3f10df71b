"""SGD on a dense ReLU network of any depth, in float64, many runs at once (paper, Fig. 4, 5, 10)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from largestep.compiled import each_run, kernel

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
def _ascend(parameters, kept, gradient, sam_radius):
    """Move parameters uphill by the radius and keep where they were."""
    length = np.sqrt(np.sum(gradient**2))
    reach = sam_radius / length if length > 0.0 else 0.0
    for k in range(len(parameters)):
        kept[k] = parameters[k]
        parameters[k] += reach * gradient[k]


@kernel
def _residual_scale(parameters, x, y, examples, widths, biased, activations):
    """Root mean square of the residuals of some examples, without label noise."""
    square = 0.0
    for example in examples:
        residual = _forward(parameters, x[example], widths, biased, activations) - y[example]
        square += residual * residual
    return np.sqrt(square / len(examples))


@kernel
def _advance_batch(
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
    noise_follows_loss,
    sam_radius,
    widths,
    biased,
    activations,
    deltas,
    gradient,
    kept,
):
    """Take the steps of one run in place, up to the one at which it diverges, and return how many.

    activations, deltas: (layers + 1, widest), gradient and kept: (p,) are room to work in.
    """
    batch = indices.shape[1]
    noisy = label_noise.shape[1] > 0
    heavy, sharpness_aware = momentum > 0.0 or weight_decay > 0.0, sam_radius > 0.0
    for step in range(len(step_sizes)):
        noise_scale = 1.0
        if noise_follows_loss:
            noise_scale = _residual_scale(parameters, x, y, indices[step], widths, biased, activations)
        for ascents in range(1 + sharpness_aware):
            if ascents == 1:
                _ascend(parameters, kept, gradient, sam_radius)
            for k in range(len(parameters)):
                gradient[k] = 0.0
            finite = True
            for b in range(batch):
                example = indices[step, b]
                residual = _forward(parameters, x[example], widths, biased, activations) - y[example]
                if noisy:
                    residual -= noise_scale * label_noise[step, b]
                finite = finite and np.isfinite(residual)
                output_delta = residual_factor * residual / batch
                _add_gradient(parameters, widths, biased, activations, deltas, output_delta, gradient)
            if not finite:
                return step
        if sharpness_aware:
            parameters[:] = kept
        if heavy:
            for k in range(len(parameters)):
                velocity[k] = momentum * velocity[k] + gradient[k] + weight_decay * parameters[k]
                parameters[k] -= step_sizes[step] * velocity[k]
        else:
            for k in range(len(parameters)):
                parameters[k] -= step_sizes[step] * gradient[k]
    return len(step_sizes)


# With all examples a step the loops run along the examples, which is up to three times as fast unless there are
# this many times as many units.
MANY_UNITS = 8


@kernel
def _forward_all(parameters, y, widths, biased, activations, residuals):
    """Fill activations (layers + 1, widest, n), whose first layer holds the inputs, and residuals (n,)."""
    layers = len(widths) - 1
    n = np.uint64(len(y))
    start = np.uint64(0)
    for layer in range(layers):
        above = layer + 1
        rows, columns = np.uint64(widths[above]), np.uint64(widths[layer])
        bias = start + rows * columns
        for j in range(rows):
            constant = parameters[bias + j] if biased[layer] else 0.0
            row = start + j * columns
            for i in range(n):
                activations[above, j, i] = constant
            for k in range(columns):
                weight = parameters[row + k]
                for i in range(n):
                    activations[above, j, i] += weight * activations[layer, k, i]
            if above < layers:
                for i in range(n):
                    z = activations[above, j, i]
                    activations[above, j, i] = 0.0 if z <= 0.0 else z
        start = bias + rows if biased[layer] else bias
    for i in range(n):
        residuals[i] = activations[layers, 0, i] - y[i]


@kernel
def _gradient_all(parameters, widths, biased, activations, deltas, gradient):
    """Fill gradient (p,) from deltas (layers + 1, widest, n), whose last layer holds the loss's slopes in h."""
    layers = len(widths) - 1
    n = np.uint64(activations.shape[2])
    start = np.uint64(len(parameters))
    for layer in range(layers - 1, -1, -1):
        rows, columns = np.uint64(widths[layer + 1]), np.uint64(widths[layer])
        if biased[layer]:
            start -= rows
            for j in range(rows):
                total = 0.0
                for i in range(n):
                    total += deltas[layer + 1, j, i]
                gradient[start + j] = total
        start -= rows * columns
        for j in range(rows):
            row = start + j * columns
            for k in range(columns):
                total = 0.0
                for i in range(n):
                    total += deltas[layer + 1, j, i] * activations[layer, k, i]
                gradient[row + k] = total
        if layer > 0:
            for k in range(columns):
                for i in range(n):
                    deltas[layer, k, i] = 0.0
                for j in range(rows):
                    weight = parameters[start + j * columns + k]
                    for i in range(n):
                        deltas[layer, k, i] += weight * deltas[layer + 1, j, i]
                for i in range(n):
                    deltas[layer, k, i] = 0.0 if activations[layer, k, i] <= 0.0 else deltas[layer, k, i]


@kernel
def _advance_all(
    parameters,
    velocity,
    x,
    y,
    label_noise,
    step_sizes,
    residual_factor,
    momentum,
    weight_decay,
    noise_follows_loss,
    sam_radius,
    widths,
    biased,
):
    """The same with all examples a step."""
    n, layers = len(y), len(widths) - 1
    noisy = label_noise.shape[1] > 0
    heavy, sharpness_aware = momentum > 0.0 or weight_decay > 0.0, sam_radius > 0.0
    activations = np.zeros((layers + 1, widths.max(), n))
    activations[0, : widths[0]] = x.T
    deltas = np.zeros_like(activations)
    residuals, gradient, kept = np.empty(n), np.empty_like(parameters), np.empty_like(parameters)
    for step in range(len(step_sizes)):
        noise_scale = 1.0
        for ascents in range(1 + sharpness_aware):
            if ascents == 1:
                _ascend(parameters, kept, gradient, sam_radius)
            _forward_all(parameters, y, widths, biased, activations, residuals)
            if noise_follows_loss and ascents == 0:
                noise_scale = np.sqrt(np.mean(residuals**2))
            finite = True
            for i in range(n):
                if noisy:
                    residuals[i] -= noise_scale * label_noise[step, i]
                finite = finite and np.isfinite(residuals[i])
                deltas[layers, 0, i] = residual_factor * residuals[i] / n
            if not finite:
                return step
            _gradient_all(parameters, widths, biased, activations, deltas, gradient)
        if sharpness_aware:
            parameters[:] = kept
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
    *,
    noise_follows_loss: bool = False,
    sam_radius: float = 0.0,
) -> None:
    """Take len(step_sizes) steps of SGD in place, on numba's number of threads.

    parameters: (runs, p), each layer's weights, row by row, then its biases, as torch orders them.
    widths: units of every layer, input and output included; biased: whether each layer has biases.
    The other arguments are those of `largestep.toys.diagonal.advance`.
    """
    whole = indices.shape[2] == 0

    def advance_run(run: int) -> int:
        rules = residual_factor, momentum, weight_decay, noise_follows_loss, sam_radius, widths, biased
        state = parameters[run], velocity[run], inputs[dataset[run]], labels[dataset[run]]
        if whole and widths.max() < MANY_UNITS * labels.shape[1]:
            taken = _advance_all(*state, label_noise[run], step_sizes, *rules)
        else:
            chosen = np.tile(np.arange(labels.shape[1]), (len(step_sizes), 1)) if whole else indices[run]
            room = _room(parameters.shape[1], widths)
            taken = _advance_batch(*state, chosen, label_noise[run], step_sizes, *rules, *room)
        if taken < len(step_sizes):
            parameters[run] = np.nan
        return int(taken)

    each_run(advance_run, len(step_sizes), first_step, diverged_step)


def _room(count: int, widths: NDArray[np.int64]) -> tuple[Array, Array, Array, Array]:
    shape = len(widths), widths.max()
    return np.empty(shape), np.empty(shape), np.empty(count), np.empty(count)


@kernel
def _advance_watched(
    parameters,
    velocity,
    x,
    y,
    indices,
    no_noise,
    step_sizes,
    residual_factor,
    widths,
    biased,
    activations,
    deltas,
    gradient,
    kept,
    scales,
):
    """Plain steps of `_advance_batch`, with the root mean square of all residuals before each."""
    everyone = np.arange(len(y))
    for step in range(len(step_sizes)):
        scales[step] = _residual_scale(parameters, x, y, everyone, widths, biased, activations)
        taken = _advance_batch(
            parameters,
            velocity,
            x,
            y,
            indices[step : step + 1],
            no_noise[step : step + 1],
            step_sizes[step : step + 1],
            residual_factor,
            0.0,
            0.0,
            False,
            0.0,
            widths,
            biased,
            activations,
            deltas,
            gradient,
            kept,
        )
        if taken == 0:
            return step
    return len(step_sizes)


def advance_watched(
    parameters: Array,
    inputs: Array,
    labels: Array,
    dataset: NDArray[np.int64],
    indices: NDArray[np.int64],
    step_sizes: Array,
    residual_factor: float,
    first_step: int,
    diverged_step: NDArray[np.int64],
    widths: NDArray[np.int64],
    biased: NDArray[np.bool_],
) -> Array:
    """The steps of `advance` without momentum, weight decay and noise, and the fit on all data before each.

    Returns the root mean square of the residuals on the whole data set before every step, (runs, steps); NaN
    from the step after that at which the run diverged.
    """
    scales = np.full(indices.shape[:2], np.nan)
    no_noise = np.empty((len(step_sizes), 0))

    def advance_run(run: int) -> int:
        taken = _advance_watched(
            parameters[run],
            np.empty(0),
            inputs[dataset[run]],
            labels[dataset[run]],
            indices[run],
            no_noise,
            step_sizes,
            residual_factor,
            widths,
            biased,
            *_room(parameters.shape[1], widths),
            scales[run],
        )
        if taken < len(step_sizes):
            parameters[run] = np.nan
        return int(taken)

    each_run(advance_run, len(step_sizes), first_step, diverged_step)
    return scales


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
