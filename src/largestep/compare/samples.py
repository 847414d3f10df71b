"""What is compared: the measures of every cell and arm, and the headline statistics of every claim, seed by seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep.claims.verdict import Criterion, Measured
from largestep.elementary import log10
from largestep.measures.outcomes import survived
from largestep.tables import rows_of
from largestep.threshold_sweep import at_paper

Values = NDArray[np.float64]
# Of losses, which span decades, the logarithm is taken; the floor keeps it finite.
LOSSES, FLOOR = ("train_loss", "minibatch_loss", "test_loss"), 1e-300
# A loss is also compared along training, in this many parts of equal length.
PARTS = 4
# Of runs that do not diverge the number of steps is taken: a share of survivors is compared, and how soon others went.
DIVERGED = "step of divergence"
# What is better where it is lower; of rank or sparsity nothing is said.
BETTER_LOWER = {"train_loss", "minibatch_loss", "test_loss", "test_error"}
# Digits kept of a value: of two runs that differ by less, neither is the larger.
DIGITS = 5


@dataclass(frozen=True)
class Sample:
    """One statistic: values (seeds,), NaN where a run diverged or has none; toward: the side that is better, -1 below,
    1 above and 0 where none is; diverged: runs that did, and have no value.
    """

    values: Values
    toward: int = 0
    diverged: int = 0


def rounded(values: Values) -> Values:
    """To `DIGITS` significant digits."""
    return np.array([float(f"{value:.{DIGITS}g}") for value in values])


def of_experiment(name: str, experiment: xr.Dataset) -> dict[str, dict[str, Sample]]:
    """The samples of every cell and arm ("experiment.cell/arm"), by statistic."""
    return {
        f"{name}.{cell}/{arm}": dict(_of_runs(experiment.sel(cell=cell, arm=arm)))
        for cell in experiment["cell"].values
        for arm in experiment["arm"].values
    }


def _of_runs(runs: xr.Dataset) -> Iterator[tuple[str, Sample]]:
    alive = survived(runs).values
    diverged = int((~alive).sum())
    when = np.where(alive, float(runs["step"][-1]) + 1.0, runs["diverged_step"].values)
    yield DIVERGED, Sample(rounded(when), 1, diverged)
    for measure, row in rows_of().items():
        if measure not in runs or row.phase or row.error:
            continue
        title = row.title
        values, toward = at_paper(runs[measure]), -1 if measure in BETTER_LOWER else 0
        # Some are taken at the end alone.
        along = next((dim for dim in values.dims if dim in ("step", "snapshot_step")), None)
        if measure in LOSSES:
            title = f"log10 {title}"
            values = xr.apply_ufunc(log10, values.clip(min=FLOOR))
            for part, steps in enumerate(np.array_split(np.arange(values.sizes[along]), PARTS), 1):
                mean = values.isel({along: steps}).mean(along).values
                yield f"{title}, part {part} of {PARTS} of training", _sample(mean, alive, toward, diverged)
        final = values if along is None else values.isel({along: -1})
        for block in np.atleast_1d(final["block"].values) if "block" in final.dims else [None]:
            of_block = final if block is None else final.sel(block=block)
            which = "" if block is None else f", block {block}"
            yield f"{title}{which}, at the end", _sample(of_block.values, alive, toward, diverged)


def _sample(values: Values, alive: NDArray[np.bool_], toward: int, diverged: int) -> Sample:
    usable = alive & np.isfinite(values)
    return Sample(rounded(np.where(usable, values, np.nan)), toward, diverged)


def key(each: Measured) -> str:
    """By what a headline statistic is known in the reference."""
    return f"{each.claim}: {each.statistic} ({each.experiment})"


def of_headline(each: Measured) -> Sample:
    """The sample of a headline statistic; seeds that diverged have no value."""
    values = np.where(each.lost | ~np.isfinite(each.values), np.nan, each.values)
    return Sample(rounded(values), _toward(each.criterion), int(each.lost.sum()))


def _toward(criterion: Criterion) -> int:
    """On which side of its criterion a statistic speaks for its claim more clearly; 0 for an equivalence."""
    return (criterion.high == np.inf) - (criterion.low == -np.inf)
