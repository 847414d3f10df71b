"""What Proposition 2.2 states about SGD on h(x) = x theta^2, in units of theta*."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Of gamma = eta theta*^2 x^2.
INTERVAL = (1.0, 1.25)
# Iterates that bounce stay above the first below 1, and below the second above 1.
LOWEST_ITERATE, HIGHEST_ITERATE = 0.65, 1.162
HIGHEST_LOSS = 0.17
WIDEST_GAP = 0.02


def gap(lowest_gamma: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distance eps0 that iterates keep from 1; 0 where gamma may be 1 or less and nothing is stated.

    lowest_gamma: of any shape, which is that of the result.
    """
    return np.asarray(np.clip((lowest_gamma - INTERVAL[0]) / 3.0, 0.0, WIDEST_GAP))


def inside(gamma_range: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a range of gamma, (..., 2), lies in the interval for which the proposition is stated."""
    return np.asarray((gamma_range[..., 0] > INTERVAL[0]) & (gamma_range[..., 1] <= INTERVAL[1]))
