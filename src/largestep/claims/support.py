"""C8: off the support of the truth the predictor decays exponentially; on it the error is O(sqrt(eta delta)).

Off the support. Data: the diagonal networks trained by SGD, at the snapshots of the cell whose large step size lasts
longest, from the first one after the start to the decay. Statistics, per seed:
- the slope of log10 of the norm of the predictor off the support, below 0;
- the R^2 of this straight line, above `STRAIGHT`;
- that R^2 minus the R^2 of a straight line against the logarithm of the step, which a power law would follow: above 0;
- the slope minus that of the small step over the same snapshots, seeds paired, below 0;
- the slope of log10 of the median size of the coordinates off the support, below 0. The norm is that of the largest
  few; this statistic was added after the others were first looked at, and the answer does not rest on it.

On the support. Data: a phase diagram, at its latest decay up to `LONGEST`, the longest in the paper. Statistic, per
seed: the slope of the logarithm of the root mean square error on the support against that of sqrt(step size x level
of the loss), over the step sizes at which the seed survives, at least `FEWEST_STEP_SIZES`: between 0.75 and 1.25,
as the error is proportional to it in the paper. (The level delta of the noise is that of the loss times 2/n, which
does not change the slope.) The answer rests on all step sizes. As small ones do not stabilise the loss, which the paper
presupposes, another row takes those that do, whose level before this decay is at least `STABLE` of that before the
earliest; it too was added after the first look.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep import elementary
from largestep.claims import large_step_phase
from largestep.claims.phase_diagram import LONGEST, keeps_its_level
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, Values, above, below, between, label, missing, not_asked

CLAIM = "C8"
CLAIMS = {
    CLAIM: "With large steps the predictor decays exponentially off the true support; "
    "its error on it is of the order of √(ηδ)."
}
STRAIGHT = 0.9
FEWEST_POINTS, FEWEST_STEP_SIZES = 3, 3
DECAYS = "slope of log10 predictor norm off the support in the large-step phase"
FASTER = "slope of log10 predictor norm off the support minus that at the small step"
TYPICAL = "slope of log10 median coordinate off the support in the large-step phase"
LINEAR = "R² of log10 predictor norm off the support against steps"
EXPONENTIAL = "R² of log10 predictor norm off the support against steps minus that against log steps"
SCALING = "slope of log RMSE on the support against log sqrt(step size x level of the loss)"
SCALING_STABLE = f"{SCALING}, step sizes at which the loss keeps its level"
SLOPE, PROPORTIONAL = below(0.0, "decades per thousand steps"), between(0.75, 1.25)


def measured(results: Results) -> Iterator[Measured]:
    """C8 for every diagonal network trained by SGD, and for every phase diagram."""
    yield from large_step_phase.of_those_that_have(results, "off_support_norm", off_support, CLAIM, DECAYS, SLOPE)
    for name, study in results.of_kind("phase_diagram"):
        if (study["decay_at"] <= LONGEST).any():
            yield from on_support(name, study)
        else:
            why = f"not run: no decay up to {LONGEST:g} of training"
            yield missing(CLAIM, name, SCALING, PROPORTIONAL, why)
    yield from results.studies_not_run(CLAIM, "phase_diagram", SCALING, PROPORTIONAL)


def off_support(name: str, experiment: xr.Dataset) -> Iterator[Measured]:
    """The statistics off the support of one experiment, for each arm."""
    cell, small = large_step_phase.longest(experiment), large_step_phase.small_step(experiment)
    inside = large_step_phase.snapshots_inside(cell)
    if len(inside) < FEWEST_POINTS:
        yield not_asked(CLAIM, name, DECAYS, SLOPE, large_step_phase.NO_PHASE)
        return
    steps = cell["snapshot_step"].values[inside].astype(np.float64)
    for arm in experiment["arm"].values:
        where, headline = label(name, arm), large_step_phase.is_headline(experiment, arm)
        runs = cell.sel(arm=arm)
        alive = large_step_phase.complete(runs)
        norms = large_step_phase.logarithm(runs["off_support_norm"].values[:, inside])
        typical = large_step_phase.logarithm(runs["off_support_median"].values[:, inside])
        straight = _r_squared(steps, norms)
        power = _r_squared(elementary.log(steps), norms)
        yield Measured(CLAIM, where, DECAYS, _slopes(steps, norms), SLOPE, ~alive, headline=headline)
        yield Measured(CLAIM, where, LINEAR, straight, above(STRAIGHT), ~alive)
        yield Measured(CLAIM, where, EXPONENTIAL, straight - power, above(0.0), ~alive, headline=headline)
        yield Measured(CLAIM, where, TYPICAL, _slopes(steps, typical), SLOPE, ~alive)
        if small is None:
            yield not_asked(CLAIM, where, FASTER, SLOPE, large_step_phase.NO_SMALL)
            continue
        beside = small.sel(arm=arm)
        both = large_step_phase.complete(runs, beside)
        slower = large_step_phase.logarithm(beside["off_support_norm"].values[:, inside])
        difference = _slopes(steps, norms) - _slopes(steps, slower)
        yield Measured(CLAIM, where, FASTER, difference, SLOPE, ~both)


def on_support(name: str, study: xr.Dataset) -> Iterator[Measured]:
    """How the error on the support scales with the noise, in one phase diagram."""
    times = study["decay_at"].values
    study = study.transpose("seed", "step_size", "decay_at", ...)
    latest = study.sel(decay_at=times[times <= LONGEST].max())
    level = latest["phase_loss"].values
    noise = elementary.log(np.sqrt(latest["step_size"].values * level))
    errors = elementary.log(latest["support_rmse"].values)
    survives = np.isfinite(noise) & np.isfinite(errors)
    stable = survives & keeps_its_level(study).transpose("seed", "step_size").values
    headline = str(study["arm"].values) == "order"
    lost = survives.sum(axis=1) < FEWEST_STEP_SIZES
    for statistic, usable in ((SCALING, survives), (SCALING_STABLE, stable)):
        enough = usable.sum(axis=1) >= FEWEST_STEP_SIZES
        slopes = np.full(len(enough), np.nan)
        for seed in np.flatnonzero(enough):
            slopes[seed] = 1e-3 * _slopes(noise[seed, usable[seed]], errors[seed, usable[seed]][None])[0]
        rests = headline and statistic == SCALING
        yield Measured(CLAIM, name, statistic, slopes, PROPORTIONAL, lost, _few(enough), headline=rests)


def _few(enough: NDArray[np.bool_]) -> str:
    left_out = int((~enough).sum())
    return f"{left_out} seeds with fewer than {FEWEST_STEP_SIZES} such step sizes left out" if left_out else ""


def _slopes(steps: NDArray[np.float64], values: Values) -> Values:
    """Least-squares slope of each row of (seeds, snapshots), per thousand steps."""
    centred = (steps - steps.mean()) / 1000.0
    return np.asarray((values * centred).sum(axis=1) / (centred**2).sum())


def _r_squared(x: NDArray[np.float64], values: Values) -> Values:
    """Share of the variance of each row that a straight line in x explains; 0 where a row does not vary."""
    x, y = x - x.mean(), values - values.mean(axis=1, keepdims=True)
    total = (x**2).sum() * (y**2).sum(axis=1)
    return np.where(
        np.isnan(total), np.nan, np.divide((x * y).sum(axis=1) ** 2, total, out=np.zeros_like(total), where=total > 0)
    )
