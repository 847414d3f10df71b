"""The large-step phase of an experiment as its snapshots see it, and the small step to compare it with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep import elementary
from largestep.claims import verdict
from largestep.claims.results import Results
from largestep.claims.verdict import Criterion, Measured, Values, missing
from largestep.measures.outcomes import survived
from largestep.schedules import NO_DECAY, is_large

NO_PHASE = "no large-step phase with two snapshots after the start"
NO_SMALL = "no cell whose step size is small at these snapshots to compare with"
# Of the time until the first snapshot after the start: a phase of large steps this short counts as none. One of a tenth
# of training does not: it ends where the first of ten snapshots is taken, a step before or after by rounding.
SHORT = 0.5
Rows = Callable[[str, xr.Dataset], Iterator[Measured]]


def longest(experiment: xr.Dataset) -> xr.Dataset:
    """The cell whose large step size lasts longest."""
    return experiment.sel(cell=verdict.by_duration(experiment)["cell"].values[-1])


def snapshots_inside(cell: xr.Dataset) -> NDArray[np.int64]:
    """Positions of the snapshots after the start that only large steps have led to, in one cell."""
    times = cell["snapshot_step"].values
    return np.flatnonzero((times > 0) & is_large(times, int(cell["decay_step"][0])))


def small_step(experiment: xr.Dataset) -> xr.Dataset | None:
    """The cell whose large step size lasts shortest, if it is over long before the first snapshot after the start.

    None where there is no such cell.
    """
    cell = experiment.sel(cell=verdict.by_duration(experiment)["cell"].values[0])
    first = cell["snapshot_step"].values[1]
    return cell if int(cell["decay_step"][0]) <= SHORT * first else None


def ends(cell: xr.Dataset) -> bool:
    """Whether a cell has a large-step phase, which its step size leaves when it is divided."""
    return int(cell["decay_step"][0]) != NO_DECAY


def complete(*cells: xr.Dataset) -> NDArray[np.bool_]:
    """Which seeds diverge in none of these cells, each of one arm: (seeds,)."""
    return np.asarray(np.logical_and.reduce([survived(cell).values for cell in cells]))


def logarithm(values: NDArray[np.float64]) -> Values:
    """log10, in decades; of 0 that of the smallest number there is."""
    return np.asarray(elementary.log10(np.maximum(values, np.finfo(float).tiny)))


def is_headline(experiment: xr.Dataset, arm: str) -> bool:
    """Whether the answer rests on this arm: the paper's, of one data set, where there is one."""
    arms = [str(each) for each in experiment["arm"].values]
    return arm == ("order" if "order" in arms else arms[0])


def of_those_that_have(
    results: Results, measure: str, rows: Rows, claim: str, statistic: str, criterion: Criterion
) -> Iterator[Measured]:
    """`rows` of every experiment by SGD that has a measure; one row that says so where none has it."""
    groups = [(name, group) for name, group in results.stochastic() if measure in group]
    for name, group in groups:
        yield from rows(name, group)
    if not groups:
        why = f"not run: no experiment trained by SGD has the measure {measure}"
        yield missing(claim, "none", statistic, criterion, why)
