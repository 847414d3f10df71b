"""Steps of SGD on a diagonal linear network h(x) = <u * v, x>, in float64; parameters are u, then v (paper, Fig. 2)."""

from __future__ import annotations

import math

import numpy as np

from largestep.compiled import kernel
from largestep.toys.noise_shapes import ISOTROPIC, LABELS, PENALTY
from largestep.toys.update import Course, ascend, descend


@kernel
def advance_plain(state, task, course):
    """One example a step, no momentum, weight decay or ascent; returns the steps taken before divergence.

    The update of a step and the residual of the next take one pass over the parameters. The last pass,
    whose residual is not used, makes the result the same however the steps are cut into calls.
    """
    d = len(state.parameters) // 2
    u, v = state.parameters[:d], state.parameters[d:]
    x, y, indices, label_noise = task.inputs, task.labels, course.indices, course.label_noise
    step_sizes, residual_factor = course.step_sizes, task.residual_factor
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


# Factors near 1 that are multiplied before a logarithm is taken.
FACTORS = 16


@kernel
def follow_law(parameters, log_a, rho, task, indices, step_sizes):
    """Take the steps in place, and add to log a and rho, (d,) each, what the law adds; returns the steps taken."""
    d, steps = len(log_a), len(step_sizes)
    u, v = parameters[:d], parameters[d:]
    plus, minus = np.ones(d), np.ones(d)
    for step in range(steps):
        example, residual = indices[step], -task.labels[indices[step]]
        for k in range(d):
            residual += task.inputs[example, k] * u[k] * v[k]
        if not np.isfinite(residual):
            return step
        change = step_sizes[step] * task.residual_factor * residual
        for k in range(d):
            moved = change * task.inputs[example, k]
            u[k], v[k] = u[k] - moved * v[k], v[k] - moved * u[k]
            plus[k] *= 1.0 - moved
            minus[k] *= 1.0 + moved
        if (step + 1) % FACTORS == 0 or step + 1 == steps:
            for k in range(d):
                grown, shrunk = math.log(abs(plus[k])), math.log(abs(minus[k]))
                log_a[k] += grown + shrunk
                rho[k] += grown - shrunk
                plus[k], minus[k] = 1.0, 1.0
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
def advance_general(state, task, course, rule):
    """Any batch size and rule; returns the steps taken before divergence."""
    parameters, x, y = state.parameters, task.inputs, task.labels
    d = x.shape[1]
    beta, slope, gradient, ascended = np.empty(d), np.empty(d), np.empty(2 * d), np.empty(2 * d)
    residuals = np.empty(course.indices.shape[1] or len(y))
    for step in range(len(course.step_sizes)):
        chosen, noise = course.indices[step], course.label_noise[step]
        point = parameters
        noise_scale = -1.0 if rule.noise_follows_loss else 1.0
        for ascents in range(1 + (rule.sam_radius > 0.0)):
            if ascents == 1:
                # The gradient uphill, on the same examples with the same noise.
                ascend(parameters, gradient, rule.sam_radius, ascended)
                point = ascended
            for k in range(d):
                beta[k] = point[k] * point[d + k]
            noise_scale = _slope_at(beta, x, y, chosen, noise, noise_scale, task.residual_factor, residuals, slope)
            if np.isnan(noise_scale):
                return step
            for k in range(d):
                gradient[k] = slope[k] * point[d + k]
                gradient[d + k] = slope[k] * point[k]
        descend(parameters, state.velocity, gradient, course.step_sizes[step], rule)
    return len(course.step_sizes)


@kernel
def advance_watched(state, task, course, scales):
    """Steps of `advance_plain`, with the root mean square of all residuals before each."""
    d = len(state.parameters) // 2
    residuals, everyone = np.empty(len(task.labels)), np.uint64(len(task.labels))
    for step in range(len(course.step_sizes)):
        _products(task.inputs, state.parameters[:d] * state.parameters[d:], np.uint64(0), everyone, residuals)
        residuals -= task.labels
        scales[step] = np.sqrt(np.mean(residuals**2))
        one = slice(step, step + 1)
        here = Course(course.indices[one], course.label_noise[one], course.step_sizes[one])
        if advance_plain(state, task, here) == 0:
            return step
    return len(course.step_sizes)


@kernel
def advance_shaped(parameters, task, sizes, normal, shape):
    """Take full-batch steps with what stands for SGD's noise; returns how many before a residual is not finite.

    The gradient of example i is c r_i (x_i v, x_i u), with residual r_i and residual factor c. So with the energies
    e = u^2 + v^2 and s_i = <x_i^2, e> the covariance of SGD's gradient has the trace mean(c^2 r^2 s) - |grad L|^2.
    normal: standard, (steps, p) for `ISOTROPIC` noise in all parameters and (steps, n) for noise on the `LABELS`, both
    of the trace of SGD's at the parameters of the step. `PENALTY`: descent on the loss + step size / 4 x the mean over
    examples of the squared norm of the gradient, without noise (Smith et al. 2021).
    """
    x, factor = task.inputs, task.residual_factor
    n, d = x.shape
    squares, everyone = x**2, np.uint64(n)
    u, v = parameters[:d], parameters[d:]
    residuals, reach, slope, curve = np.empty(n), np.empty(n), np.empty(d), np.zeros(d)
    for step in range(len(sizes)):
        energy = u**2 + v**2
        _products(x, u * v, np.uint64(0), everyone, residuals)
        residuals -= task.labels
        if not np.isfinite(residuals).all():
            return step
        _transposed_products(x, residuals, factor / n, slope)
        _products(squares, energy, np.uint64(0), everyone, reach)
        trace = max(factor**2 * np.mean(residuals**2 * reach) - np.sum(slope**2 * energy), 0.0)
        if shape == LABELS:
            deviation = np.sqrt(trace / np.sum(reach)) * n / factor
            _transposed_products(x, residuals - deviation * normal[step], factor / n, slope)
        elif shape == PENALTY:
            half = sizes[step] * factor**2 / 2.0 / n
            _transposed_products(x, factor / n * residuals + half * residuals * reach, 1.0, slope)
            _transposed_products(squares, residuals**2, half, curve)
        deviation = np.sqrt(trace / (2 * d)) if shape == ISOTROPIC else 0.0
        for k in range(d):
            of_u, of_v = slope[k] * v[k] + curve[k] * u[k], slope[k] * u[k] + curve[k] * v[k]
            if shape == ISOTROPIC:
                of_u += deviation * normal[step, k]
                of_v += deviation * normal[step, d + k]
            u[k] -= sizes[step] * of_u
            v[k] -= sizes[step] * of_v
    return len(sizes)


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
