"""C3: at a large step size the training loss stabilises, and drops when the step size is decayed.

Data: the cell whose large step size lasts longest; runs that have not diverged.
Statistics, per seed and then averaged: the change of log10 of the training loss over the second half of
the large-step phase, by least squares; and the fall of log10 of the loss from its mean over that half to
the end of training. Both are in decades, a factor of ten being 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from largestep.claims import verdict
from largestep.claims.verdict import Row
from largestep.measures.outcomes import survived

CLAIM = "C3"
# A loss that "remains approximately constant" stays within a factor of about two over half the phase.
FLAT, DROP = 0.3, 0.3
FEWEST_POINTS = 5


def rows(name: str, experiment: xr.Dataset) -> Iterator[Row]:
    """A row for the trend and one for the drop, for each arm."""
    cell = experiment.sel(cell=verdict.by_duration(experiment)["cell"][-1])
    steps = cell["step"].values
    decay = float(cell["decay_fraction"]) * (steps[-1] + 1)
    window = (steps >= decay / 2) & (steps < decay)
    for arm in cell["arm"].values:
        runs = cell.sel(arm=arm)
        alive = survived(runs).values
        where = verdict.label(name, arm)
        if window.sum() < FEWEST_POINTS:
            nothing = (np.nan, np.nan, np.nan, int(alive.sum()), int((~alive).sum()))
            yield Row(CLAIM, where, "trend of log10 loss", *nothing, "", "not run", "no large-step phase to look at")
            continue
        loss = np.log10(np.maximum(runs["train_loss"].values[alive], np.finfo(float).tiny))
        time = steps[window] - steps[window].mean()
        slopes = (loss[:, window] * time).sum(axis=1) / (time**2).sum()
        change = slopes * (steps[window][-1] - steps[window][0])
        fall = loss[:, window].mean(axis=1) - loss[:, -1]
        for statistic, values, criterion, rule in (
            (
                "change of log10 training loss over the second half of the large-step phase",
                change,
                FLAT,
                verdict.within,
            ),
            ("fall of log10 training loss from there to the end", fall, DROP, verdict.above),
        ):
            mean, low, high = verdict.interval(values)
            answer, note = verdict.enough_seeds(rule(low, high, criterion), int(alive.sum()))
            text = f"within +-{criterion:g} decades" if rule is verdict.within else f"above {criterion:g} decades"
            yield Row(
                CLAIM, where, statistic, mean, low, high, int(alive.sum()), int((~alive).sum()), text, answer, note
            )
