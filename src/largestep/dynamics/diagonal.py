"""SGD on a diagonal linear network h(x) = <u * v, x>, in float64, many runs at once (paper, Fig. 2)."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Array = NDArray[np.float64]


# reassoc and contract let the inner products use vector instructions and, unlike full fastmath,
# keep NaN and infinity, by which divergence is found.
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
):
    """Take len(step_sizes) steps of SGD in place.

    parameters: (runs, 2 d), u then v. velocity: the same, used when momentum > 0.
    inputs: (datasets, n, d); labels: (datasets, n); dataset: (runs,), the data set of each run.
    indices: (runs, steps, batch), the examples of each step; label_noise: the same shape, or
    (runs, steps, 0) for none, added to the labels.
    residual_factor: derivative of the loss in the prediction over the residual (1 for half the mean
    square, 2 for the mean square). momentum, weight_decay: as in torch.optim.SGD.
    diverged_step: (runs,), -1 or the step, counted from first_step, at which the residual stopped
    being finite; such a run is frozen at NaN.
    """
    runs, width = parameters.shape
    d = width // 2
    steps, batch = indices.shape[1], indices.shape[2]
    noisy = label_noise.shape[2] > 0
    plain = momentum == 0.0 and weight_decay == 0.0 and batch == 1
    for run in prange(runs):
        if diverged_step[run] >= 0:
            continue
        x, y = inputs[dataset[run]], labels[dataset[run]]
        u, v = parameters[run, :d], parameters[run, d:]
        beta = np.empty(d)
        slope = np.empty(d)
        for step in range(steps):
            step_size = step_sizes[step]
            if plain:
                row = x[indices[run, step, 0]]
                residual = -y[indices[run, step, 0]]
                if noisy:
                    residual -= label_noise[run, step, 0]
                for k in range(d):
                    residual += row[k] * u[k] * v[k]
                if not np.isfinite(residual):
                    diverged_step[run] = first_step + step
                    parameters[run] = np.nan
                    break
                scale = step_size * residual_factor * residual
                for k in range(d):
                    change = scale * row[k]
                    old = u[k]
                    u[k] -= change * v[k]
                    v[k] -= change * old
                continue
            for k in range(d):
                beta[k] = u[k] * v[k]
                slope[k] = 0.0
            finite = True
            for b in range(batch):
                row = x[indices[run, step, b]]
                residual = -y[indices[run, step, b]]
                if noisy:
                    residual -= label_noise[run, step, b]
                for k in range(d):
                    residual += row[k] * beta[k]
                finite = finite and np.isfinite(residual)
                scale = residual_factor * residual / batch
                for k in range(d):
                    slope[k] += scale * row[k]
            if not finite:
                diverged_step[run] = first_step + step
                parameters[run] = np.nan
                break
            for k in range(d):
                grad_u = slope[k] * v[k] + weight_decay * u[k]
                grad_v = slope[k] * u[k] + weight_decay * v[k]
                velocity[run, k] = momentum * velocity[run, k] + grad_u
                velocity[run, d + k] = momentum * velocity[run, d + k] + grad_v
                u[k] -= step_size * velocity[run, k]
                v[k] -= step_size * velocity[run, d + k]


def predictor(parameters: Array) -> Array:
    """The linear predictor u * v of parameters of shape (..., 2 d), as an array of shape (..., d)."""
    u, v = np.split(parameters, 2, axis=-1)
    return np.asarray(u * v)


def predict(parameters: Array, inputs: Array) -> Array:
    """h(x) for parameters of shape (..., 2 d) and inputs of shape (n, d); the result is (..., n)."""
    return np.asarray(predictor(parameters) @ inputs.T)
