"""C2: the one-dimensional model bounces and its loss stabilises (Proposition 2.2).

Data: the studies of kind bouncing. A seed is a set of draws of the noise, over all starts in (0, theta*).
Statistics, per range of gamma inside (1, 1.25), as shares of the runs because the proposition is about all of them:
runs that alternate around theta* at each of the last updates; runs that bounce there as stated, with one parity in
(0.65, 1 - eps0) and the other in (1 + eps0, 1.162) times theta* (a run may begin with either); runs whose F stays above
eps0^2, and below 0.17, from the first update on, which is what the proposition says; and runs whose F does
both in the last updates, which is what it could mean.
Criterion: all but one in a thousand.

Controls, outside the interval, where the paper promises nothing: below it the loss must not stabilise, the
median run falling under 0.02^2, the largest floor that any range inside has; above it at most half of the runs may
bounce as stated. They say whether the interval matters; a run may alternate without any of this.

The answer rests on the widest range inside the interval; the others show that it is not the range.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from largestep.claims.results import Results
from largestep.claims.verdict import Measured, above, below
from largestep.measures.bouncing import INTERVAL, WIDEST_GAP, inside

CLAIM = "C2"
CLAIMS = {CLAIM: "The one-dimensional model bounces around its minimum, and its loss stabilises between two bounds."}
ALL, FEW, FLOOR = above(0.999), below(0.5), below(WIDEST_GAP**2, "θ*²/η")
STATED = {
    "alternating": "share of runs that alternate around θ* in the last updates",
    "bouncing": "share of runs that bounce in the stated ranges in the last updates",
    "over_lower_bound": "share of runs with F above ε0² from the first update on",
    "under_upper_bound": "share of runs with F below 0.17 from the first update on",
    "tail_within_bounds": "share of runs with F between these bounds in the last updates",
}


def measured(results: Results) -> Iterator[Measured]:
    """Rows for what is stated of each range inside the interval, and the controls for those outside."""
    for name, study in results.of_kind("bouncing"):
        ranges = study["gamma_range"].values
        stated = inside(ranges)
        widest = np.argmax(np.where(stated, ranges[:, 1] - ranges[:, 0], -np.inf))
        for index, (low, high) in enumerate(ranges):
            runs = study.isel(range=index)
            where = f"{name}/γ {low:g} to {high:g}"
            if stated[index]:
                for statistic, title in STATED.items():
                    yield Measured(CLAIM, where, title, runs[statistic].values, ALL, headline=index == widest)
            else:
                yield from _controls(where, runs, low, high)
    yield from results.studies_not_run(CLAIM, "bouncing", STATED["bouncing"], ALL)


def _controls(where: str, runs: xr.Dataset, low: float, high: float) -> Iterator[Measured]:
    if low <= INTERVAL[0]:
        values = runs["typical_tail_loss"].values
        title = "control: the median run's F in the last updates"
        yield Measured(CLAIM, where, title, values, FLOOR, ~np.isfinite(values))
    if high > INTERVAL[1]:
        yield Measured(CLAIM, where, f"control: {STATED['bouncing']}", runs["bouncing"].values, FEW)
