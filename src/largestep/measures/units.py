"""Which units are active, and which are distinct (paper, section 4.1, "feature sparsity coefficient").

The paper counts units whose activations correlate above a threshold as one, by deleting them greedily.
That keeps unit j iff no later unit k > j has |corr(j, k)| above the threshold, so one number per unit,
the largest such correlation, decides for every threshold at once. Which units are kept, and so how active they are,
depends on their order, which means nothing: the same number in `ORDERS` random orders says by how much.

Only the output of a ReLU has units that are dead or active; a block with negative values is told by their share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

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
    "negative_fraction": Measure(panel=None, row=None),
    "feature_sparsity_reordered": Measure(
        panel=None, row=Row("feature sparsity, mean over random orders of the units", "%")
    ),
    "feature_sparsity_order_spread": Measure(
        panel=None, row=Row("standard deviation of feature sparsity between orders of the units", "%")
    ),
    "feature_sparsity_error": Measure(
        panel=None, row=Row("standard error of feature sparsity, by the draw of units", "%", error=True)
    ),
}


# Random orders of the units of a block, beside their own.
ORDERS = 16


class UnitStatistics(NamedTuple):
    """Activity and redundancy of the units of a block.

    active: (units,), on how many examples each is not zero. later: (units,), its largest absolute Pearson correlation
    with a later unit that is not zero everywhere (0 where there is none, or where one of the two is constant).
    reordered: (ORDERS, units), the same where later is by each of the `orders`. negative: share of the activations that
    are below zero. Of a run that diverged active is 0 and all others are NaN.
    """

    active: NDArray[np.int32]
    later: NDArray[np.float64]
    reordered: NDArray[np.float64]
    negative: float


def unit_statistics(activations: NDArray[np.floating]) -> UnitStatistics:
    """`UnitStatistics` of activations (examples, units)."""
    units = activations.shape[1]
    if not np.all(np.isfinite(activations)):
        return lost(units)
    count = np.count_nonzero(activations, axis=0).astype(np.int32)
    correlation = absolute_correlation(activations, np.flatnonzero(count))
    later = np.triu(correlation, k=1).max(axis=1)
    reordered = np.stack([(correlation * after).max(axis=1) for after in _after(units)])
    return UnitStatistics(count, later, reordered, float((activations < 0).mean()))


def absolute_correlation(activations: NDArray[np.floating], alive: NDArray[np.int64]) -> NDArray[np.float64]:
    """Absolute Pearson correlations of the units of a block, (units, units).

    activations: (examples, units). 0 of units that do not vary, and of all that are not among the alive ones.
    """
    units = activations.shape[1]
    correlation = np.zeros((units, units))
    if len(alive) > 1:
        centred = activations[:, alive].astype(np.float64)
        # By its range: the mean of equal values may be off by a rounding error, which would be correlated.
        varies = np.ptp(centred, axis=0) > 0
        centred -= centred.mean(axis=0)
        norms = np.linalg.norm(centred, axis=0)
        scaled = np.divide(centred, norms, out=np.zeros_like(centred), where=varies & (norms > 0))
        correlation[np.ix_(alive, alive)] = np.minimum(np.abs(np.einsum("ij,ik->jk", scaled, scaled)), 1.0)
    return correlation


def lost(units: int) -> UnitStatistics:
    """Of a block of so many units whose activations are not finite."""
    nan = np.full((ORDERS, units), np.nan)
    return UnitStatistics(np.zeros(units, dtype=np.int32), nan[0], nan, np.nan)


@cache
def orders(units: int) -> NDArray[np.int64]:
    """Places of the units in each of the random orders, (ORDERS, units), the same for all blocks of that size."""
    generator = np.random.default_rng(0)
    return np.stack([generator.permutation(units) for _ in range(ORDERS)])


@cache
def _after(units: int) -> NDArray[np.bool_]:
    """Whether the second unit comes after the first in each order, (ORDERS, units, units)."""
    places = orders(units)
    return np.asarray(places[:, None, :] > places[:, :, None])


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
    statistics: Sequence[Sequence[UnitStatistics]],
    runs: tuple[int, ...],
    examples: int,
    blocks: str,
) -> xr.Dataset:
    """`unit_statistics_of` from the statistics themselves, by snapshot and block."""
    count = [np.concatenate([block.active for block in snapshot]) for snapshot in statistics]
    later = [np.concatenate([block.later for block in snapshot]) for snapshot in statistics]
    reordered = [np.concatenate([block.reordered for block in snapshot], axis=1) for snapshot in statistics]
    negative = [[block.negative for block in snapshot] for snapshot in statistics]
    sizes = [len(block.active) for block in statistics[0]]
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
            "unit_reordered_correlation": variable(
                (*RUN, "order", "unit"),
                # Single precision is enough to tell it from a threshold, and halves the store.
                np.stack(reordered).reshape(*runs, ORDERS, -1).astype(np.float32),
                "1",
                "the same with the unit that is later in a random order",
            ),
            "negative_fraction": variable(
                (*RUN, "block"), np.reshape(negative, (*runs, -1)), "1", "share of the activations that are below zero"
            ),
            "examples": variable((), examples, "1", "training examples on which units are looked at"),
        },
        {
            "unit_block": variable(("unit",), np.repeat(np.arange(1, len(sizes) + 1), sizes), "1", blocks),
            "block": variable(("block",), np.arange(1, len(sizes) + 1), "1", "hidden layer or block of the network"),
        },
    )


def normalised(activations: NDArray[np.floating]) -> NDArray[np.floating]:
    """Activations divided by the l2 norm of each example's, as the paper does for toy networks; 0 stays 0.

    activations: (..., examples, units); the result has the same shape.
    """
    norms = np.linalg.norm(activations, axis=-1, keepdims=True)
    return np.divide(activations, norms, out=np.zeros_like(activations), where=norms != 0)


def feature_sparsity(
    count: NDArray[np.int32], later: NDArray[np.floating], examples: int, threshold: float
) -> NDArray[np.float64]:
    """Mean fraction of distinct non-zero activations, from `unit_statistics` of shape (..., units)."""
    distinct = np.where(np.isnan(later), np.nan, later <= threshold)
    return np.asarray((count * distinct).sum(axis=-1) / (examples * count.shape[-1]))


def reordered_sparsity(
    count: NDArray[np.int32], reordered: NDArray[np.float32], examples: int, threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of `feature_sparsity` over the random orders, and its standard deviation between them, both (...).

    count: (..., units); reordered: (..., ORDERS, units).
    """
    sparsity = feature_sparsity(count[..., None, :], reordered, examples, threshold)
    return sparsity.mean(axis=-1), sparsity.std(axis=-1, ddof=1)


def signed(negative: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which blocks have negative values in any run, so that none of their units is dead or active: (blocks,).

    negative: (..., blocks), `negative_fraction`, NaN where a run diverged.
    """
    return np.asarray((negative > 0).reshape(-1, negative.shape[-1]).any(axis=0))


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
