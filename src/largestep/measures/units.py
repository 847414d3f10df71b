"""Which units are active, and which are distinct (paper, section 4.1, "feature sparsity coefficient").

The paper counts units whose activations correlate above a threshold as one, by deleting them greedily.
That keeps unit j iff no later unit k > j has |corr(j, k)| above the threshold, so one number per unit,
the largest such correlation, decides for every threshold at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep.measures import RUN
from largestep.registered import Measure, Row
from largestep.store import variable

MEASURES = {
    "feature_sparsity": Measure(panel=None, row=Row("feature sparsity", "%")),
    "active_fraction": Measure(panel=None, row=Row("active units", "%")),
    "dead_fraction": Measure(panel=None, row=Row("dead units", "%")),
    "feature_sparsity_error": Measure(
        panel=None, row=Row("standard error of feature sparsity, by the draw of units", "%", error=True)
    ),
}


def unit_statistics(activations: NDArray[np.floating]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Activity and redundancy of units.

    activations: (examples, units). Returns, for each unit, the number of examples on which it is not
    zero, and its largest absolute Pearson correlation with a later unit that is ever active (0 where
    there is none, or where one of the two is constant). Both have shape (units,). A run that diverged
    (activations not finite) gives 0 and NaN.
    """
    units = activations.shape[1]
    later = np.zeros(units)
    if not np.all(np.isfinite(activations)):
        return np.zeros(units, dtype=np.int32), np.full(units, np.nan)
    count = np.count_nonzero(activations, axis=0).astype(np.int32)
    alive = np.flatnonzero(np.any(activations > 0, axis=0))
    if len(alive) > 1:
        centred = activations[:, alive].astype(np.float64)
        # By its range: the mean of equal values may be off by a rounding error, which would be correlated.
        varies = np.ptp(centred, axis=0) > 0
        centred -= centred.mean(axis=0)
        norms = np.linalg.norm(centred, axis=0)
        scaled = np.divide(centred, norms, out=np.zeros_like(centred), where=varies & (norms > 0))
        correlation = np.triu(np.abs(np.einsum("ij,ik->jk", scaled, scaled)), k=1)
        later[alive] = np.minimum(correlation.max(axis=1), 1.0)
    count[np.setdiff1d(np.arange(units), alive)] = 0
    return count, later


def unit_statistics_of(
    blocks_of_snapshots: Iterable[Sequence[NDArray[np.floating]]], runs: tuple[int, ...], examples: int, blocks: str
) -> xr.Dataset:
    """`unit_statistics` of every block of every snapshot, as the features stage stores them.

    blocks_of_snapshots: for each snapshot, in the order of (arm, seed, snapshot_step), the activations of
    its blocks, each of shape (examples, units). runs: sizes of these three dimensions. blocks: what the
    number of a block means.
    """
    statistics = [[unit_statistics(block) for block in activations] for activations in blocks_of_snapshots]
    return unit_dataset(statistics, runs, examples, blocks)


def unit_dataset(
    statistics: Sequence[Sequence[tuple[NDArray[np.int32], NDArray[np.float64]]]],
    runs: tuple[int, ...],
    examples: int,
    blocks: str,
) -> xr.Dataset:
    """`unit_statistics_of` from the statistics themselves, by snapshot and block."""
    count = [np.concatenate([c for c, _ in snapshot]) for snapshot in statistics]
    later = [np.concatenate([r for _, r in snapshot]) for snapshot in statistics]
    sizes = [len(c) for c, _ in statistics[0]]
    return xr.Dataset(
        {
            "unit_active_count": variable(
                (*RUN, "unit"),
                np.stack(count).reshape(*runs, -1),
                "1",
                "training examples on which the unit is active",
            ),
            "unit_later_correlation": variable(
                (*RUN, "unit"),
                np.stack(later).reshape(*runs, -1),
                "1",
                "largest absolute correlation with a later unit of the same block",
            ),
            "examples": variable((), examples, "1", "training examples on which units are looked at"),
        },
        {"unit_block": variable(("unit",), np.repeat(np.arange(1, len(sizes) + 1), sizes), "1", blocks)},
    )


def normalised(activations: NDArray[np.floating]) -> NDArray[np.floating]:
    """Activations divided by the l2 norm of each example's, as the paper does for toy networks; 0 stays 0.

    activations: (..., examples, units); the result has the same shape.
    """
    norms = np.linalg.norm(activations, axis=-1, keepdims=True)
    return np.divide(activations, norms, out=np.zeros_like(activations), where=norms != 0)


def feature_sparsity(
    count: NDArray[np.int32], later: NDArray[np.float64], examples: int, threshold: float
) -> NDArray[np.float64]:
    """Mean fraction of distinct non-zero activations, from `unit_statistics` of shape (..., units)."""
    distinct = np.where(np.isnan(later), np.nan, later <= threshold)
    return np.asarray((count * distinct).sum(axis=-1) / (examples * count.shape[-1]))


def sampling_error(
    count: NDArray[np.int32], later: NDArray[np.float64], examples: int, threshold: float, units: int
) -> NDArray[np.float64]:
    """Standard error of `feature_sparsity`, whose units are a random sample of a block of so many units.

    That of the mean of a sample drawn without replacement; 0 where it is the whole block. That a unit's twin may not be
    in the sample is not in it: a smaller sample finds fewer duplicates.
    """
    share = count * np.where(np.isnan(later), np.nan, later <= threshold) / examples
    size = share.shape[-1]
    if size < 2:
        return np.full(share.shape[:-1], np.nan)
    return np.asarray(np.sqrt(share.var(axis=-1, ddof=1) / size * (1 - size / units)))
