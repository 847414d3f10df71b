"""C22: a large step acts on a diagonal network as the smaller initial scale that the exact law gives.

Woodworth et al. 2020 and Moroshko et al. 2020 on the scale; Even et al. 2023 on step sizes. Data: the studies of kind
`initial_scale`, seeds on which the run with large steps does not diverge. Statistics, per seed, at the end: log2 of the
ratio of the non-zeros, and of the test losses, of small steps from the law's scale over large steps, within `FACTOR`;
and non-zeros of small steps from the largest scale, that of the large steps' own start, minus those of large steps,
above 0. Non-zeros are those at the largest threshold. The answer rests on the largest step size. Beside it stand the
others, starts at each coordinate's own scale, and log10 of the equivalent scale over the law's, within `CLOSE`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from largestep.claims.results import Results
from largestep.claims.verdict import Measured, Values, above, between, log2_ratio, within_factor

CLAIM = "C22"
CLAIMS = {CLAIM: "A large step acts on a diagonal network as the smaller initial scale that the exact law gives."}
KIND, FACTOR, MORE, CLOSE = "initial_scale", 1.25, above(0.0), between(-0.5, 0.5, "decades")
# Starts of the runs with small steps from the law, as `largestep.studies.initial_scale` names them.
STARTS = {"law": "the law's scale", "law_of_each": "the law's scale of each coordinate"}
RATIO = "log2 of the ratio of {}, small step from {} over large step {:g}"


def measured(results: Results) -> Iterator[Measured]:
    """The rows of every step size of every study."""
    for name, study in results.of_kind(KIND):
        sizes = np.unique(study["step_size"].values[study["run"].values == "large"])
        for size in sizes[::-1]:
            yield from _rows(name, study, float(size), headline=size == sizes[-1])
    why = RATIO.format("non-zeros", STARTS["law"], 0.24)
    yield from results.studies_not_run(CLAIM, KIND, why.partition(" 0.24")[0], within_factor(FACTOR))


def equivalent(log10_scales: Values, counts: Values, wanted: float) -> float:
    """Where the non-zeros of runs from these scales (scales,), ascending, equal those wanted; NaN off the grid.

    Made monotone first: a larger scale was to have more. Scales that then have as many stand for their middle.
    """
    if not np.isfinite(counts).all():
        return np.nan
    fitted = isotonic_regression(counts).x
    levels, place = np.unique(fitted, return_inverse=True)
    # At either end any scale beyond would do as well.
    if not levels[0] < wanted < levels[-1]:
        return np.nan
    middles = np.bincount(place, log10_scales) / np.bincount(place)
    return float(np.interp(wanted, levels, middles))


def _rows(where: str, study: xr.Dataset, size: float, headline: bool) -> Iterator[Measured]:
    large = _one(study, "large", size)
    lost = large["diverged_step"].values >= 0
    for run, called in STARTS.items():
        small = _one(study, run, size)
        gone, first = lost | (small["diverged_step"].values >= 0), headline and run == "law"
        for what, values in (("non-zeros", "l0"), ("test losses", "test_loss")):
            statistic = RATIO.format(what, called, size)
            ratio = log2_ratio(small[values].values, large[values].values)
            yield Measured(CLAIM, where, statistic, ratio, within_factor(FACTOR), gone, headline=first)
    grid = study.isel(run=np.flatnonzero(study["run"].values == "small")).isel(l0_threshold=-1)
    grid = grid.isel(run=np.argsort(grid["log10_scale"].isel(seed=0).values, kind="stable"))
    counts, own = grid["l0"].transpose("run", "seed").values, large["l0"].values
    statistic = f"non-zeros of the small step from the largest scale minus those of large step {size:g}"
    gone = lost | (grid["diverged_step"].isel(run=-1).values >= 0)
    yield Measured(CLAIM, where, statistic, counts[-1] - own, MORE, gone, headline=headline)
    scales = grid["log10_scale"].isel(seed=0).values
    equal = np.array([equivalent(scales, counts[:, seed], own[seed]) for seed in range(len(own))])
    statistic = f"log10 of the equivalent scale over the law's, large step {size:g}"
    yield Measured(CLAIM, where, statistic, equal - large["log10_scale"].values, CLOSE, lost)


def _one(study: xr.Dataset, run: str, size: float) -> xr.Dataset:
    """One kind of run of a step size, at the largest threshold."""
    chosen: NDArray[np.bool_] = (study["run"].values == run) & (study["step_size"].values == size)
    return study.isel(run=int(np.flatnonzero(chosen)[0]), l0_threshold=-1)
