"""Rank of the Jacobian and number of non-zeros, which depend on a threshold, and a rank that does not."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from largestep import elementary
from largestep.registered import Measure, Panel, Row

MEASURES = {
    "rank": Measure(panel=None, row=Row("rank of the Jacobian", "count")),
    "effective_rank": Measure(
        Panel("effective rank", "singular values (count)"), Row("effective rank of the Jacobian")
    ),
    "l0": Measure(panel=None, row=Row("non-zeros of the predictor", "count")),
}
CAPTION = """
{% if not images %}
- The effective rank of the Jacobian, the exponential of the entropy of its singular values on fresh inputs, counts
  directions without a threshold.
{% endif %}
"""
Array = NDArray[np.float64]


def rank(values: Array, threshold: float) -> Array:
    """Number of singular values above threshold times the largest, from values of shape (..., k).

    NaN where the run diverged; 0 where every singular value is 0.
    """
    top = values[..., :1]
    count = np.sum(values > threshold * top, axis=-1)
    return np.asarray(np.where(np.isnan(top[..., 0]), np.nan, count))


def effective_rank(values: Array) -> Array:
    """Exponential of the entropy of singular values that are normalised to sum 1, from values of shape (..., k).

    Roy and Vetterli 2007: between 1 and k, k where all are equal. NaN where the run diverged; 0 where every singular
    value is 0.
    """
    total = values.sum(axis=-1, keepdims=True)
    shares = np.divide(values, total, out=np.zeros_like(values), where=total != 0)
    positive = shares > 0
    terms = np.where(positive, -shares * elementary.log(np.where(positive, shares, 1.0)), shares)
    return np.asarray(np.where(total[..., 0] == 0, 0.0, elementary.exp(terms.sum(axis=-1))))


def l0_norm(values: Array, threshold: float) -> Array:
    """Number of coordinates above the threshold in absolute value, from values of shape (..., d).

    NaN where the run diverged.
    """
    count = np.sum(np.abs(values) > threshold, axis=-1)
    return np.asarray(np.where(np.isnan(values).any(axis=-1), np.nan, count))


def l0_norms(values: Array, thresholds: Iterable[float]) -> Array:
    """`l0_norm` at every threshold, in ascending order, (..., thresholds)."""
    return np.stack([l0_norm(values, threshold) for threshold in sorted(thresholds)], axis=-1)
