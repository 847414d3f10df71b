"""One row of the table of claims, and the rules that all claims share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import bootstrap

Answer = Literal["supported", "refuted", "undecided", "not run"]
Values = NDArray[np.float64]
CONFIDENCE = 0.95
RESAMPLES = 5000
# With fewer seeds a sign test cannot reach 5%: 2 * 2**-5 > 0.05.
FEWEST_SEEDS = 6


@dataclass(frozen=True)
class Row:
    """What was measured for one claim in one experiment, and the answer.

    seeds: those that the statistic uses; diverged: those left out because a run diverged.
    """

    claim: str
    experiment: str
    statistic: str
    estimate: float
    low: float
    high: float
    seeds: int
    diverged: int
    criterion: str
    verdict: Answer
    note: str = ""


def interval(values: Values) -> tuple[float, float, float]:
    """Mean over seeds and its 95% bootstrap interval; NaN for the interval below two seeds.

    values: (seeds,), without NaN.
    """
    if len(values) < 2:
        return (float(values.mean()) if len(values) else np.nan), np.nan, np.nan
    mean = float(values.mean())
    if np.ptp(values) == 0.0:
        return mean, mean, mean
    found = bootstrap(
        (values,),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return mean, float(found.low), float(found.high)


def below(low: float, high: float, bound: float) -> Answer:
    """Supported when the whole interval is below the bound, refuted when it is above."""
    return "supported" if high < bound else "refuted" if low > bound else "undecided"


def above(low: float, high: float, bound: float) -> Answer:
    """Supported when the whole interval is above the bound, refuted when it is below."""
    return below(-high, -low, -bound)


def within(low: float, high: float, bound: float) -> Answer:
    """Supported when the interval lies between -bound and bound, refuted when it lies outside."""
    if -bound < low and high < bound:
        return "supported"
    return "refuted" if low > bound or high < -bound else "undecided"


def enough_seeds(answer: Answer, seeds: int, note: str = "") -> tuple[Answer, str]:
    """The answer, unless there are too few seeds for any."""
    if seeds >= FEWEST_SEEDS:
        return answer, note
    why = f"{seeds} usable seeds, {FEWEST_SEEDS} are needed for a verdict"
    return "undecided", f"{note}; {why}" if note else why


def by_duration(experiment: xr.Dataset) -> xr.Dataset:
    """The cells that differ in how long the large step size is kept: one per duration, small step included.

    Where several cells share a duration, the one with the smallest peak step size stays.
    """
    peak = experiment["step_size"].max("step").values
    durations = experiment["decay_fraction"].values
    order = np.lexsort((peak, durations))
    first = [
        index for place, index in enumerate(order) if place == 0 or durations[index] != durations[order[place - 1]]
    ]
    return experiment.isel(cell=first)


def label(name: str, arm: str) -> str:
    """How the table names an experiment's arm."""
    return f"{name}/{arm}"
