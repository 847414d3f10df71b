"""One step of SGD from a gradient, as the kernels of all toy networks take it, and what a kernel is given."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from largestep.compiled import kernel

Array = NDArray[np.float64]


class State(NamedTuple):
    """Where a run is; kernels change it in place. Both (p,); the velocity is used with momentum or weight decay."""

    parameters: Array
    velocity: Array


class Task(NamedTuple):
    """What a run learns: inputs (n, d), labels (n,).

    residual_factor: derivative of the loss in the prediction over the residual (1 for half the mean square, 2 for
    the mean square).
    """

    inputs: Array
    labels: Array
    residual_factor: float


class Course(NamedTuple):
    """The steps of a run: indices (steps, batch), the examples of each, or (steps, 0) for all of them.

    label_noise: (steps, examples a step), added to the labels, or (steps, 0) for none. step_sizes: (steps,).
    """

    indices: NDArray[np.int64]
    label_noise: Array
    step_sizes: Array


class Rule(NamedTuple):
    """How a step follows from gradients; plain SGD if nothing is given.

    momentum, weight_decay: as in torch.optim.SGD. sam_radius: distance uphill at which the gradient is taken
    (sharpness-aware minimisation, Foret et al. 2021), on the same examples with the same label noise.
    noise_follows_loss: multiply the label noise of a step by the root mean square of the residuals of its examples.

    The Euler-Maruyama step of the paper's SDE, theta - g grad L + sqrt(g) sqrt(eta delta) phi^T Z with
    delta = (2/n) L(theta) for half the mean square L, is the step of size g = eta / m on all examples whose
    label noise is sqrt(m n) Z and follows the loss: g sqrt(m n) sqrt(2 L) / n = sqrt(g) sqrt(eta 2 L / n). For
    the mean square, eta is twice the step size on either side.
    """

    momentum: float = 0.0
    weight_decay: float = 0.0
    sam_radius: float = 0.0
    noise_follows_loss: bool = False


@kernel
def descend(parameters: Array, velocity: Array, gradient: Array, step_size: float, rule: Rule) -> None:
    """Take the step: all (p,)."""
    if rule.momentum > 0.0 or rule.weight_decay > 0.0:
        for k in range(len(parameters)):
            velocity[k] = rule.momentum * velocity[k] + gradient[k] + rule.weight_decay * parameters[k]
            parameters[k] -= step_size * velocity[k]
    else:
        for k in range(len(parameters)):
            parameters[k] -= step_size * gradient[k]


@kernel
def ascend(parameters: Array, gradient: Array, radius: float, ascended: Array) -> None:
    """Fill ascended (p,) with the point at that distance uphill, or the parameters where the gradient is zero."""
    length = np.sqrt(np.sum(gradient**2))
    reach = radius / length if length > 0.0 else 0.0
    for k in range(len(parameters)):
        ascended[k] = parameters[k] + reach * gradient[k]
