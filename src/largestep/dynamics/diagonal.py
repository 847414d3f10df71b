"""SGD on a diagonal linear network h(x) = <u * v, x>, in float64, many runs at once (paper, Fig. 2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from largestep.dynamics.compiled import each_run, kernel

Array = NDArray[np.float64]


@kernel
def _advance_plain(u, v, x, y, indices, label_noise, step_sizes, residual_factor):
    """One example a step, no momentum or weight decay; returns the steps taken before divergence.

    The update of a step and the residual of the next take one pass over the parameters. The last pass,
    whose residual is not used, makes the result the same however the steps are cut into calls.
    """
    steps = len(step_sizes)
    noisy = label_noise.shape[1] > 0
    last, scale = np.uint64(0), 0.0
    for step in range(steps + 1):
        # Unsigned, because numba lets signed indices count from the end, which costs a test.
        example = np.uint64(indices[min(step, steps - 1), 0])
        residual = -y[example]
        for k in range(len(u)):
            change = scale * x[last, k]
            new_u = u[k] - change * v[k]
            new_v = v[k] - change * u[k]
            u[k] = new_u
            v[k] = new_v
            residual += x[example, k] * new_u * new_v
        if step < steps:
            if noisy:
                residual -= label_noise[step, 0]
            if not np.isfinite(residual):
                return step
            last, scale = example, step_sizes[step] * residual_factor * residual
    return steps


@kernel
def _update(u, v, velocity, slope, step_size, momentum, weight_decay):
    """One step of torch.optim.SGD, from the gradient of the loss in the predictor, slope (d,)."""
    d = len(u)
    for k in range(d):
        grad_u = slope[k] * v[k] + weight_decay * u[k]
        grad_v = slope[k] * u[k] + weight_decay * v[k]
        velocity[k] = momentum * velocity[k] + grad_u
        velocity[d + k] = momentum * velocity[d + k] + grad_v
        u[k] -= step_size * velocity[k]
        v[k] -= step_size * velocity[d + k]


@kernel
def _advance_full(u, v, velocity, x, y, label_noise, step_sizes, residual_factor, momentum, weight_decay):
    """All examples a step, by matrix products, which are twice as fast as sums over examples."""
    n = len(y)
    noisy = label_noise.shape[1] > 0
    transposed = np.ascontiguousarray(x.T)
    for step in range(len(step_sizes)):
        residuals = np.dot(x, u * v) - y
        if noisy:
            residuals -= label_noise[step]
        if not np.isfinite(residuals).all():
            return step
        slope = np.dot(transposed, residuals) * (residual_factor / n)
        _update(u, v, velocity, slope, step_sizes[step], momentum, weight_decay)
    return len(step_sizes)


@kernel
def _advance_batch(
    u, v, velocity, x, y, indices, label_noise, step_sizes, residual_factor, momentum, weight_decay, beta, slope
):
    """Any batch size, momentum and weight decay; beta and slope, (d,), are room to work in."""
    d, batch = len(u), indices.shape[1]
    noisy = label_noise.shape[1] > 0
    for step in range(len(step_sizes)):
        for k in range(d):
            beta[k] = u[k] * v[k]
            slope[k] = 0.0
        finite = True
        for b in range(batch):
            example = np.uint64(indices[step, b])
            residual = -y[example]
            if noisy:
                residual -= label_noise[step, b]
            for k in range(d):
                residual += x[example, k] * beta[k]
            finite = finite and np.isfinite(residual)
            scale = residual_factor * residual / batch
            for k in range(d):
                slope[k] += scale * x[example, k]
        if not finite:
            return step
        _update(u, v, velocity, slope, step_sizes[step], momentum, weight_decay)
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
) -> None:
    """Take len(step_sizes) steps of SGD in place, on numba's number of threads.

    parameters: (runs, 2 d), u then v. velocity: the same, used with momentum or weight decay.
    inputs: (datasets, n, d); labels: (datasets, n); dataset: (runs,), the data set of each run.
    indices: (runs, steps, batch), the examples of each step, or (runs, steps, 0) for all of them;
    label_noise: (runs, steps, examples a step), or (runs, steps, 0) for none, added to the labels.
    residual_factor: derivative of the loss in the prediction over the residual (1 for half the mean
    square, 2 for the mean square). momentum, weight_decay: as in torch.optim.SGD.
    diverged_step: (runs,), -1 or the step, counted from first_step, at which the residual stopped
    being finite; such a run is frozen at NaN.
    """
    d = parameters.shape[1] // 2
    plain = momentum == 0.0 and weight_decay == 0.0 and indices.shape[2] == 1

    def advance_run(run: int) -> int:
        u, v = parameters[run, :d], parameters[run, d:]
        x, y = inputs[dataset[run]], labels[dataset[run]]
        course = label_noise[run], step_sizes, residual_factor
        if plain:
            taken = _advance_plain(u, v, x, y, indices[run], *course)
        elif indices.shape[2] == 0:
            taken = _advance_full(u, v, velocity[run], x, y, *course, momentum, weight_decay)
        else:
            room = np.empty(d), np.empty(d)
            taken = _advance_batch(u, v, velocity[run], x, y, indices[run], *course, momentum, weight_decay, *room)
        if taken < len(step_sizes):
            parameters[run] = np.nan
        return int(taken)

    each_run(advance_run, len(step_sizes), first_step, diverged_step)


def predictor(parameters: Array) -> Array:
    """The linear predictor u * v of parameters of shape (..., 2 d), as an array of shape (..., d)."""
    u, v = np.split(parameters, 2, axis=-1)
    return np.asarray(u * v)
