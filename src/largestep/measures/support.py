"""A linear predictor against the sparse ground truth: what is left off its support, the error on it (section 3.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from largestep.registered import Measure, Panel

MEASURES = {
    "off_support_norm": Measure(Panel("off support, norm", "l2 norm of predictor", logarithmic=True), row=None),
    "off_support_median": Measure(Panel("off support, typical", "median |predictor|", logarithmic=True), row=None),
    "support_rmse": Measure(Panel("on support", "RMSE of predictor", logarithmic=True), row=None),
}
CAPTION = """
{% if linear %}
- The predictor against the sparse truth: its norm and the size of its typical (median) coordinate off the support,
  where it should be 0, and its root mean square error on the support.
{% endif %}
"""
Array = NDArray[np.float64]


def off_support_norm(predictors: Array, truth: Array) -> Array:
    """l2 norm of the coordinates on which the truth is 0; both of shape (..., d), of which the first (...) is returned.

    Scaled before squaring, so that coordinates of 1e-200 are not lost. NaN where the run diverged.
    """
    off = np.where(truth == 0, predictors, 0.0)
    largest = np.abs(off).max(axis=-1, keepdims=True)
    scaled = np.divide(off, largest, out=np.zeros_like(off), where=largest != 0)
    norm = largest[..., 0] * np.linalg.norm(scaled, axis=-1)
    return np.asarray(np.where(np.isfinite(predictors).all(axis=-1), norm, np.nan))


def off_support_median(predictors: Array, truth: Array) -> Array:
    """Median size of the coordinates on which the truth is 0, shapes as above; 0 where there is no such coordinate."""
    finite = np.asarray(np.isfinite(predictors).all(axis=-1))
    off = np.where(truth == 0, np.abs(np.where(finite[..., None], predictors, 0.0)), np.nan)
    middle = np.nanmedian(off, axis=-1) if (truth == 0).any() else np.zeros(finite.shape)
    return np.asarray(np.where(finite, middle, np.nan))


def support_rmse(predictors: Array, truth: Array) -> Array:
    """Root mean square error over the coordinates on which the truth is not 0, shapes as above."""
    errors = np.where(truth != 0, predictors - truth, 0.0)
    return np.asarray(np.sqrt((errors**2).sum(axis=-1) / np.count_nonzero(truth, axis=-1)))
