"""C17: the stabilisation of SGD is neither a catapult nor gradient descent's edge of stability.

Data: studies of kind `sharpness`; runs that have not diverged. SGD is judged over the second half of its large-step
phase, gradient descent over the second half of its run, a catapult over all of its run. Spikes are those of
`largestep.measures.spikes`; a loss is flat as in C3.
Statistics, per seed:
- SGD has more than one spike, its log loss has no trend, and the median of sharpness x step size / 2 lies below the
  range in which a run counts as at the edge of stability, which is where that is 1;
- gradient descent lies within that range: the control is what it is to be;
- a catapult has one spike, after which its loss never rises by as much as a spike, and ends flat: below the edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep import elementary
from largestep.claims.results import Results
from largestep.claims.verdict import Criterion, Measured, Values, above, below, between, missing
from largestep.measures.edge import of_edge
from largestep.measures.spikes import FACTOR, FLOOR
from largestep.measures.stabilisation import FLAT

CLAIM = "C17"
CLAIMS = {
    CLAIM: "Loss stabilisation is neither the catapult, one spike and then a monotone fall, nor gradient descent's "
    "edge of stability."
}
EDGE = (0.9, 1.2)


@dataclass(frozen=True)
class Statistic:
    """One number per seed of one kind of run, and what it was to be.

    values: takes the run's dataset, of all seeds.
    """

    run: str
    text: str
    values: Callable[[xr.Dataset], Values]
    criterion: Criterion
    headline: bool


def measured(results: Results) -> Iterator[Measured]:
    """A row for every statistic, in every study that has its kind of run."""
    studies = list(results.of_kind("sharpness"))
    runs = {(name, str(run)): study.sel(run=run) for name, study in studies for run in study["run"].values}
    for each in STATISTICS:
        keys = [key for key in runs if key[1] == each.run]
        for name, run in keys:
            study_run = runs[name, run]
            lost, note = study_run["diverged_step"].values >= 0, _note(study_run)
            values = each.values(study_run)
            yield Measured(CLAIM, f"{name}/{run}", each.text, values, each.criterion, lost, note, each.headline)
        yield from results.studies_not_run(CLAIM, "sharpness", each.text, each.criterion)
        if studies and not keys:
            why = f"not run: no study of kind sharpness has a run {each.run}"
            yield missing(CLAIM, each.run, each.text, each.criterion, why)


def _late(run: xr.Dataset, steps: str) -> NDArray[np.bool_]:
    return np.asarray(((run[steps] >= run["late_from"]) & (run[steps] < run["late_to"])).values)


def _note(run: xr.Dataset) -> str:
    alive = run["diverged_step"].values < 0
    sizes = run["step_size"].transpose("seed", "point").values[alive][:, _late(run, "point_step")]
    warmed_up = sizes.size > 0 and (sizes[:, -1] > sizes[:, 0]).any()
    return "the step size grows by its warm-up until the decay" if warmed_up else ""


def edge_ratio(run: xr.Dataset) -> Values:
    """Median over the late part of a run of sharpness x step size / 2, (seeds,)."""
    return np.asarray(np.median(of_edge(run)[:, _late(run, "point_step")], axis=1), dtype=np.float64)


def trend(run: xr.Dataset) -> Values:
    """Change of log10 loss over the late part of a run, in decades, by least squares on medians of blocks: (seeds,)."""
    loss = run["loss_median"].transpose("seed", "block").values[:, _late(run, "block_step")]
    decades = elementary.log10(np.maximum(loss, FLOOR))
    time = np.linspace(-0.5, 0.5, decades.shape[1])
    return np.asarray((decades * time).sum(axis=1) / (time**2).sum(), dtype=np.float64)


def _stored(name: str) -> Callable[[xr.Dataset], Values]:
    return lambda run: np.asarray(run[name].values, dtype=np.float64)


def _last_ratio(run: xr.Dataset) -> Values:
    return of_edge(run)[:, -1]


RATIO = "sharpness x step size / 2, median over the second half"
STATISTICS = (
    Statistic("sgd", "spikes over the second half of the large-step phase", _stored("late_spikes"), above(1.0), True),
    Statistic(
        "sgd",
        "change of log10 training loss over the second half of the large-step phase",
        trend,
        between(-FLAT, FLAT, "decades"),
        True,
    ),
    Statistic("sgd", f"{RATIO} of the large-step phase", edge_ratio, below(EDGE[0]), True),
    Statistic("gd", f"{RATIO} of the run", edge_ratio, between(*EDGE), False),
    Statistic("catapult", "spikes over the run", _stored("spikes"), between(0.5, 1.5), False),
    Statistic(
        "catapult",
        "largest rise of log10 training loss after its maximum",
        _stored("rise_after_peak"),
        below(round(math.log10(FACTOR), 3), "decades"),
        False,
    ),
    Statistic("catapult", "sharpness x step size / 2 at the end of the run", _last_ratio, below(EDGE[0]), False),
)
