"""Spearman's correlation within seeds, which has no value where a run has none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from largestep.claims.verdict import Values


def paired_spearman(durations: Values, values: Values) -> Values:
    """Spearman's correlation within each seed, shape (seeds,); 0 where one of the two does not vary.

    durations: (cells,), or (cells, seeds) where they differ between seeds; values: (cells, seeds), infinite where a
    run ranks above all others. NaN for a seed that lacks a number: it has no correlation.
    """
    durations = np.broadcast_to(durations.reshape(len(durations), -1), values.shape)
    x, y = rankdata(durations, axis=0, nan_policy="propagate"), rankdata(values, axis=0, nan_policy="propagate")
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    correlation = np.divide((x * y).sum(axis=0), scale, out=np.zeros_like(scale), where=scale > 0)
    return np.where(np.isnan(scale), np.nan, correlation)


def finite(values: Values) -> Values:
    """The same with NaN in the place of what is not finite."""
    return np.where(np.isfinite(values), values, np.nan)


def ranked_worst(values: Values, gone: NDArray[np.bool_]) -> Values:
    """The values of all runs, infinite where one diverged; all measures here are the better the lower they are."""
    return np.where(gone, np.inf, finite(values))
