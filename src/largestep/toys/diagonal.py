"""SGD on a diagonal linear network h(x) = <u * v, x>, in float64, many runs at once (paper, Fig. 2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from largestep.compiled import each_run, kernel

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


# Examples that go through one loop over the parameters: twice as fast as one by one, and as BLAS, whose last digits
# depend on the processor.
TOGETHER = np.uint64(4)


@kernel
def _products(x, beta, first, last, products):
    """Fill products (n,) with x beta, from one example up to another, both unsigned."""
    whole = last - (last - first) % TOGETHER
    for i in range(first, whole, TOGETHER):
        j, k, m = i + np.uint64(1), i + np.uint64(2), i + np.uint64(3)
        of_i, of_j, of_k, of_m = 0.0, 0.0, 0.0, 0.0
        for c in range(len(beta)):
            of_i += x[i, c] * beta[c]
            of_j += x[j, c] * beta[c]
            of_k += x[k, c] * beta[c]
            of_m += x[m, c] * beta[c]
        products[i], products[j], products[k], products[m] = of_i, of_j, of_k, of_m
    for i in range(whole, last):
        product = 0.0
        for c in range(len(beta)):
            product += x[i, c] * beta[c]
        products[i] = product


@kernel
def _transposed_products(x, weights, factor, products):
    """Fill products (d,) with factor times the sum of the rows of x (n, d), each with its weight."""
    n = np.uint64(len(weights))
    whole = n - n % TOGETHER
    products[:] = 0.0
    for i in range(np.uint64(0), whole, TOGETHER):
        j, k, m = i + np.uint64(1), i + np.uint64(2), i + np.uint64(3)
        of_i, of_j, of_k, of_m = factor * weights[i], factor * weights[j], factor * weights[k], factor * weights[m]
        for c in range(len(products)):
            products[c] += of_i * x[i, c] + of_j * x[j, c] + of_k * x[k, c] + of_m * x[m, c]
    for i in range(whole, n):
        weight = factor * weights[i]
        for c in range(len(products)):
            products[c] += weight * x[i, c]


@kernel
def _slope_at(beta, x, y, chosen, noise, noise_scale, residual_factor, residuals, slope):
    """Fill slope (d,) with the gradient of the loss in the predictor beta, on the chosen examples or, if none, all.

    noise: what is added to the labels, times noise_scale or, if that is negative, times the root mean square
    of the residuals. Returns that factor, NaN if a residual is not finite. residuals is room to work in.
    """
    batch = len(residuals)
    if len(chosen) == 0:
        _products(x, beta, np.uint64(0), np.uint64(batch), residuals)
        residuals -= y
    else:
        for b in range(batch):
            # Unsigned, because numba lets signed indices count from the end, which costs a test.
            example = np.uint64(chosen[b])
            residual = -y[example]
            for k in range(len(beta)):
                residual += x[example, k] * beta[k]
            residuals[b] = residual
    if noise_scale < 0.0:
        noise_scale = np.sqrt(np.mean(residuals**2))
    if len(noise) > 0:
        residuals -= noise_scale * noise
    if not np.isfinite(residuals).all():
        return np.nan
    factor = residual_factor / batch
    if len(chosen) == 0:
        _transposed_products(x, residuals, factor, slope)
    else:
        slope[:] = 0.0
        for b in range(batch):
            example = np.uint64(chosen[b])
            scale = factor * residuals[b]
            for k in range(len(beta)):
                slope[k] += scale * x[example, k]
    return noise_scale


@kernel
def _advance_general(
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
):
    """Any batch size, momentum, weight decay and perturbation; returns the steps taken before divergence."""
    d = x.shape[1]
    beta, slope, gradient, ascended = np.empty(d), np.empty(d), np.empty(2 * d), np.empty(2 * d)
    residuals = np.empty(indices.shape[1] or len(y))
    for step in range(len(step_sizes)):
        chosen, noise = indices[step], label_noise[step]
        for k in range(d):
            beta[k] = parameters[k] * parameters[d + k]
        wanted = -1.0 if noise_follows_loss else 1.0
        noise_scale = _slope_at(beta, x, y, chosen, noise, wanted, residual_factor, residuals, slope)
        if np.isnan(noise_scale):
            return step
        for k in range(d):
            gradient[k] = slope[k] * parameters[d + k]
            gradient[d + k] = slope[k] * parameters[k]
        length = np.sqrt(np.sum(gradient**2)) if sam_radius > 0.0 else 0.0
        if length > 0.0:
            # The gradient uphill, on the same examples with the same noise.
            for k in range(2 * d):
                ascended[k] = parameters[k] + sam_radius / length * gradient[k]
            for k in range(d):
                beta[k] = ascended[k] * ascended[d + k]
            scale = _slope_at(beta, x, y, chosen, noise, noise_scale, residual_factor, residuals, slope)
            if np.isnan(scale):
                return step
            for k in range(d):
                gradient[k] = slope[k] * ascended[d + k]
                gradient[d + k] = slope[k] * ascended[k]
        for k in range(2 * d):
            velocity[k] = momentum * velocity[k] + gradient[k] + weight_decay * parameters[k]
            parameters[k] -= step_sizes[step] * velocity[k]
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
    *,
    noise_follows_loss: bool = False,
    sam_radius: float = 0.0,
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
    noise_follows_loss: multiply the label noise of a step by the root mean square of the residuals of its
    examples. sam_radius: distance uphill at which the gradient is taken (sharpness-aware minimisation, Foret
    et al. 2021), on the same examples with the same label noise.

    The Euler-Maruyama step of the paper's SDE, theta - g grad L + sqrt(g) sqrt(eta delta) phi^T Z with
    delta = (2/n) L(theta) for half the mean square L, is the step of size g = eta / m on all examples whose
    label noise is sqrt(m n) Z and follows the loss: g sqrt(m n) sqrt(2 L) / n = sqrt(g) sqrt(eta 2 L / n). For
    the mean square, eta is twice the step size on either side.
    """
    d = parameters.shape[1] // 2
    bare = momentum == 0.0 and weight_decay == 0.0 and sam_radius == 0.0 and not noise_follows_loss

    def advance_run(run: int) -> int:
        x, y = inputs[dataset[run]], labels[dataset[run]]
        course = x, y, indices[run], label_noise[run], step_sizes, residual_factor
        if bare and indices.shape[2] == 1:
            taken = _advance_plain(parameters[run, :d], parameters[run, d:], *course)
        else:
            general = momentum, weight_decay, noise_follows_loss, sam_radius
            taken = _advance_general(parameters[run], velocity[run], *course, *general)
        if taken < len(step_sizes):
            parameters[run] = np.nan
        return int(taken)

    each_run(advance_run, len(step_sizes), first_step, diverged_step)


@kernel
def _advance_watched(u, v, x, y, indices, no_noise, step_sizes, residual_factor, scales):
    """Steps of `_advance_plain`, with the root mean square of all residuals before each."""
    residuals = np.empty(len(y))
    for step in range(len(step_sizes)):
        _products(x, u * v, np.uint64(0), np.uint64(len(y)), residuals)
        residuals -= y
        scales[step] = np.sqrt(np.mean(residuals**2))
        one = slice(step, step + 1)
        if _advance_plain(u, v, x, y, indices[one], no_noise[one], step_sizes[one], residual_factor) == 0:
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
) -> Array:
    """The steps of `advance`, one example each, without momentum, weight decay and noise, and the fit before each.

    Returns the root mean square of the residuals on the whole data set before every step, (runs, steps); NaN
    from the step after that at which the run diverged.
    """
    d = parameters.shape[1] // 2
    scales = np.full(indices.shape[:2], np.nan)
    no_noise = np.empty((len(step_sizes), 0))

    def advance_run(run: int) -> int:
        problem = inputs[dataset[run]], labels[dataset[run]], indices[run], no_noise, step_sizes, residual_factor
        taken = _advance_watched(parameters[run, :d], parameters[run, d:], *problem, scales[run])
        if taken < len(step_sizes):
            parameters[run] = np.nan
        return int(taken)

    each_run(advance_run, len(step_sizes), first_step, diverged_step)
    return scales


# Examples that are kept close to the processor while every run passes over them.
TILE = 32


@kernel
def predict(predictors, inputs, dataset):
    """h(x) of every run on its own data set.

    predictors: (runs, d), u * v; inputs: (datasets, n, d); dataset: (runs,). Returns (runs, n).
    """
    runs, n = len(predictors), inputs.shape[1]
    outputs = np.empty((runs, n))
    for first in range(0, n, TILE):
        last = min(first + TILE, n)
        for run in range(runs):
            _products(inputs[dataset[run]], predictors[run], np.uint64(first), np.uint64(last), outputs[run])
    return outputs


def predictor(parameters: Array) -> Array:
    """The linear predictor u * v of parameters of shape (..., 2 d), as an array of shape (..., d)."""
    u, v = np.split(parameters, 2, axis=-1)
    return np.asarray(u * v)
