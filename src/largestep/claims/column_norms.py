"""C9: in the large-step phase the columns of the Jacobian shrink.

Data: the toy networks trained by SGD; phi on the training inputs at the snapshots of the cell whose large step size
lasts longest, from the first one after the start, where the initial fit of the data is over. Statistics, per seed:
- the change of log10 of the Frobenius norm of phi to the end of the large-step phase, below 0;
- the same for the median over columns of their norms; a change of more than `GONE` decades counts as that many, so
  that columns that vanish altogether do not outweigh the rest;
- log10 of the ratio of the Frobenius norm to that of the small step at the end of the phase, seeds paired, below 0;
- Spearman's correlation, over the intervals between snapshots, of the change of log10 of the median column norm
  and the noise scale sqrt(step size x training loss), below 0: the columns shrink when there is noise, not before
  or after.
The last two are asked in the paper's arm alone, to keep the table of this claim short.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import xarray as xr

from largestep.claims import large_step_phase
from largestep.claims.rank_correlation import paired_spearman
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, Values, below, label, not_asked

CLAIM = "C9"
CLAIMS = {CLAIM: "While the loss is flat at a large step size, the columns of the Jacobian shrink."}
GONE = 3.0
WHOLE = "change of log10 Frobenius norm of the Jacobian over the large-step phase"
MEDIAN = "change of log10 median column norm of the Jacobian over the large-step phase"
AGAINST_SMALL = "log10 Frobenius norm of the Jacobian at the end of the large-step phase, minus that at the small step"
WITH_NOISE = "Spearman correlation between snapshots of the change of the median column norm and the noise scale"
DECADES, CORRELATION = below(0.0, "decades"), below(0.0)


def measured(results: Results) -> Iterator[Measured]:
    """C9 for every toy network trained by SGD."""
    return large_step_phase.of_those_that_have(results, "jacobian_norm", rows, CLAIM, WHOLE, DECADES)


def rows(name: str, experiment: xr.Dataset) -> Iterator[Measured]:
    """The statistics of one experiment, for each arm."""
    cell, small = large_step_phase.longest(experiment), large_step_phase.small_step(experiment)
    inside = large_step_phase.snapshots_inside(cell)
    if len(inside) < 2:
        yield not_asked(CLAIM, name, WHOLE, DECADES, large_step_phase.NO_PHASE)
        return
    first, last = inside[0], inside[-1]
    for arm in experiment["arm"].values:
        where, headline = label(name, arm), large_step_phase.is_headline(experiment, arm)
        runs = cell.sel(arm=arm)
        alive = large_step_phase.complete(runs)
        norms = large_step_phase.logarithm(runs["jacobian_norm"].values)
        columns = large_step_phase.logarithm(runs["column_norm"].sel(column_quantile=0.5).values)
        whole = norms[:, last] - norms[:, first]
        median = np.clip(columns[:, last] - columns[:, first], -GONE, GONE)
        yield Measured(CLAIM, where, WHOLE, whole, DECADES, ~alive, headline=headline)
        yield Measured(CLAIM, where, MEDIAN, median, DECADES, ~alive, headline=headline)
        if not headline:
            continue
        if small is None:
            yield not_asked(CLAIM, where, AGAINST_SMALL, DECADES, large_step_phase.NO_SMALL)
        else:
            beside = small.sel(arm=arm)
            both = large_step_phase.complete(runs, beside)
            ratio = norms[:, last] - large_step_phase.logarithm(beside["jacobian_norm"].values)[:, last]
            yield Measured(CLAIM, where, AGAINST_SMALL, ratio, DECADES, ~both)
        noise = _noise_scale(runs)
        yield Measured(
            CLAIM,
            where,
            WITH_NOISE,
            paired_spearman(np.diff(columns[:, 1:], axis=1).T, noise[:, 1:].T),
            CORRELATION,
            ~alive,
        )


def _noise_scale(runs: xr.Dataset) -> Values:
    """sqrt(step size x loss), the square averaged between one snapshot and the next: (seeds, snapshots - 1)."""
    steps, times = runs["step"].values, runs["snapshot_step"].values
    power = runs["step_size"].values * runs["train_loss"].values
    between = [(steps >= start) & (steps < end) for start, end in pairwise(times)]
    return np.sqrt(np.stack([power[:, window].mean(axis=1) for window in between], axis=1))
