"""C4 at one training loss: what longer large steps do to new data beside fitting the training set less far.

A run whose large steps last longer has less time to fit, and its test loss is also that of a worse fit. Per seed, all
runs compared are read at the largest of their final training losses: where the training loss of a run last comes down
to it, the test loss is interpolated between the two records around, linearly in the logarithm of the training loss.
`controls` asks the same of sweeps.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep import elementary
from largestep.claims import verdict
from largestep.claims.rank_correlation import finite, paired_spearman
from largestep.claims.summary import MATCHED
from largestep.claims.verdict import Measured, Values, below
from largestep.measures.outcomes import survived

CRITERION = below(0.0)


def at_largest_final_loss(train: Values, test: Values) -> Values:
    """The test measure of each run where its training loss last comes down to the seed's largest final one.

    train, test: (cells, seeds, steps), the records of the losses. Returns (cells, seeds); NaN for a seed that has no
    such loss because a run diverged.
    """
    train = elementary.log(np.maximum(train, np.finfo(float).tiny))
    target = train[..., -1].max(axis=0)
    matched = np.full(train.shape[:2], np.nan)
    for cell, seed in np.argwhere(np.isfinite(train[..., -1]) & np.isfinite(target)):
        losses, measures = train[cell, seed], test[cell, seed]
        above = np.flatnonzero(losses > target[seed])
        if not len(above):
            matched[cell, seed] = measures[0]
            continue
        before, after = above[-1], above[-1] + 1
        weight = (losses[before] - target[seed]) / (losses[before] - losses[after])
        matched[cell, seed] = (1.0 - weight) * measures[before] + weight * measures[after]
    return matched


def rows(claim: str, name: str, experiment: xr.Dataset, measure: str) -> Iterator[Measured]:
    """Correlation with duration, and log2 ratio of longest to shortest, at matched training loss; the ratio at the end.

    None where the large steps of the experiment have fewer than two durations.
    """
    cells = verdict.by_duration(experiment)
    large = cells.isel(cell=cells["decay_fraction"].values > 0)
    if large.sizes["cell"] < 2:
        return
    what, durations = measure.replace("_", " "), large["decay_fraction"].values
    for arm in large["arm"].values:
        runs, where = large.sel(arm=arm), verdict.label(name, arm)
        train, test = (runs[each].transpose("cell", "seed", "step").values for each in ("train_loss", measure))
        yield from compared(
            claim,
            where,
            durations,
            (train, test),
            ~np.asarray(survived(runs).all("cell").values),
            correlation=f"Spearman correlation of duration and {what} at matched training loss, large-step cells only",
            ratio=f"log2 ratio of {what}, longest over shortest large-step phase",
        )


def compared(
    claim: str,
    where: str,
    quantity: Values,
    curves: tuple[Values, Values],
    lost: NDArray[np.bool_],
    *,
    correlation: str,
    ratio: str,
    beside: str = MATCHED,
) -> Iterator[Measured]:
    """Correlation with a quantity, and log2 ratio of last to first, at matched training loss; the ratio at the end.

    quantity: (runs,), in order. curves: training and test losses, (runs, seeds, records). lost: (seeds,), which have a
    run that diverged. correlation, ratio: what the table calls them. beside: the heading of those at matched loss.
    """
    train, test = curves
    matched = finite(at_largest_final_loss(train, test))
    ratio_matched = f"{ratio}, at matched training loss"
    yield Measured(claim, where, correlation, paired_spearman(quantity, matched), CRITERION, lost, beside=beside)
    yield Measured(claim, where, ratio_matched, _log2_ratio(matched), CRITERION, lost, beside=beside)
    yield Measured(claim, where, ratio, _log2_ratio(finite(test[..., -1])), CRITERION, lost)


def _log2_ratio(measures: Values) -> Values:
    """Of the last cell over the first, NaN where either is 0 or no number: (seeds,)."""
    first, last = np.where(measures[[0, -1]] > 0, measures[[0, -1]], np.nan)
    return np.asarray(elementary.log2(last / first))
