"""C10: simplify first, fit later, in one-dimensional regression.

Data: the fitted function at the snapshots of the cell whose large step size lasts longest: the first one after the
start (1), the last one before the decay (2) and the end of training (3). Statistics, per seed:
- the change of the number of kinks from 1 to 2, below 0, and of log10 of the total variation of the slope, which
  needs no threshold, below 0;
- the fall of the number of kinks from 1 to 2 minus that from 2 to 3, above 0: simplify first;
- the fall of log10 of the training loss from 2 to 3 minus that from 1 to 2, above 0: fit later;
- the number of kinks at the end minus that of the cell with the shortest large-step phase, seeds paired, below 0.
"""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

from largestep.claims import large_step_phase
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, above, below, label, not_asked

CLAIM = "C10"
CLAIMS = {CLAIM: "Simplify first, fit later: kinks go while the loss stays high, and few are left when it is fitted."}
SIMPLIFIES = "change of the number of kinks over the large-step phase"
STRAIGHTENS = "change of log10 total variation of the slope over the large-step phase"
FIRST = "fall of the number of kinks over the large-step phase minus that after it"
LATER = "fall of log10 training loss after the large-step phase minus that over it"
AGAINST_SHORT = "number of kinks at the end minus that after the shortest large-step phase"
FEWER, MORE, DECADES = below(0.0, "kinks"), above(0.0, "kinks"), above(0.0, "decades")


def measured(results: Results) -> Iterator[Measured]:
    """C10 for every experiment in which kinks are counted."""
    return large_step_phase.of_those_that_have(results, "kinks", rows, CLAIM, SIMPLIFIES, FEWER)


def rows(name: str, experiment: xr.Dataset) -> Iterator[Measured]:
    """The statistics of one experiment, for each arm."""
    cell, short = large_step_phase.longest(experiment), large_step_phase.small_step(experiment)
    inside = large_step_phase.snapshots_inside(cell)
    if len(inside) < 2:
        yield not_asked(CLAIM, name, SIMPLIFIES, FEWER, large_step_phase.NO_PHASE)
        return
    times = [inside[0], inside[-1], -1]
    for arm in experiment["arm"].values:
        where, headline = label(name, arm), large_step_phase.is_headline(experiment, arm)
        runs = cell.sel(arm=arm)
        alive = large_step_phase.complete(runs)
        at = runs.isel(snapshot_step=times)
        start, decay, end = at["kinks"].values.T
        loss = large_step_phase.logarithm(at["train_loss"].sel(step=at["snapshot_step"].values).values)
        slopes = large_step_phase.logarithm(at["slope_variation"].values)
        yield Measured(CLAIM, where, SIMPLIFIES, decay - start, FEWER, ~alive, headline=headline)
        yield Measured(CLAIM, where, STRAIGHTENS, slopes[:, 1] - slopes[:, 0], below(0.0, "decades"), ~alive)
        yield Measured(CLAIM, where, FIRST, (start - decay) - (decay - end), MORE, ~alive, headline=headline)
        later = (loss[:, 1] - loss[:, 2]) - (loss[:, 0] - loss[:, 1])
        yield Measured(CLAIM, where, LATER, later, DECADES, ~alive, headline=headline)
        if short is None:
            yield not_asked(CLAIM, where, AGAINST_SHORT, FEWER, large_step_phase.NO_SMALL)
            continue
        beside = short.sel(arm=arm)
        both = large_step_phase.complete(runs, beside)
        difference = (runs["kinks"] - beside["kinks"]).isel(snapshot_step=-1).values
        yield Measured(CLAIM, where, AGAINST_SHORT, difference, FEWER, ~both, headline=headline)
