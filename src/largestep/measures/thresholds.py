"""Measures that count what exceeds a threshold: the rank of the Jacobian and the number of non-zeros."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rank(values: Array, threshold: float) -> Array:
    """Number of singular values above threshold times the largest, from values of shape (..., k).

    NaN where the run diverged; 0 where every singular value is 0.
    """
    top = values[..., :1]
    count = np.sum(values > threshold * top, axis=-1)
    return np.asarray(np.where(np.isnan(top[..., 0]), np.nan, count))


def l0_norm(values: Array, threshold: float) -> Array:
    """Number of coordinates above the threshold in absolute value, from values of shape (..., d).

    NaN where the run diverged.
    """
    count = np.sum(np.abs(values) > threshold, axis=-1)
    return np.asarray(np.where(np.isnan(values).any(axis=-1), np.nan, count))
