"""Features and test loss along schedules with several decays and with one, a column for every network."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from largestep.figures import style
from largestep.figures.labels import DEAD
from largestep.threshold_sweep import at_paper

NEEDS = ("test_loss", "dead", "diverged_step", "point_step", "decay_step", "step_size")
CAPTION = """
*What is plotted.* SGD whose step size is divided several times, and once: features (upper row) and test loss (lower
row) along training, a column for each network, medians and middle halves over the seeds on which no schedule diverges.
Features are the non-zeros of the predictor of a diagonal network, and the feature sparsity of the last hidden layer of
the others, at the paper's threshold. The step sizes of the plateaus stand above each column; *one early* and *one late*
decay go from the first of them straight to the last.

*What is claimed.* The paper uses the schedules of He et al. (2016), decayed "potentially multiple times", and explains
one decay; C23 asks of the others what follows from it.

*What to look for.* Do features stay where the first plateau left them, or fall further between the two upright
lines, where the dashed line already takes the smallest steps? Does the test loss fall at each of them?
"""
# Where each schedule's large steps end, as a share of training, decides its colour.
NAMES = {"several": "several decays", "early": "one early", "late": "one late", "small": "small steps"}
SOLID, DASHED, DOTTED = style.LINE_STYLES


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """Two panels per network."""
    figure, axes, of_network = style.panels_by_network(study)
    for place, (name, run) in enumerate(of_network.items()):
        what, values = _features(run)
        alive = np.flatnonzero((run["diverged_step"].values < 0).all(axis=0))
        lost = f"{run.sizes['seed'] - len(alive)} of {run.sizes['seed']} diverged"
        sizes = ", ".join(f"{size:g}" for size in run["step_size"].values)
        died = int((run["dead"].sel(schedule="several").isel(point=-1) > 0).sum())
        titles = f"{name.replace('_', ' ')}, {lost}\nη {sizes}; {died} dead", "test loss"
        for row, (shown, title) in enumerate(zip((values, run["test_loss"]), titles, strict=True)):
            ax = axes[row, place]
            _curves(ax, run, shown.transpose("schedule", "seed", "point").isel(seed=alive).values)
            style.letter(ax, row * len(of_network) + place, title)
        axes[0, place].set_ylabel(what)
        axes[1, place].set_ylabel("test loss (no unit)" if place == 0 else "")
        style.log_axis(axes[1, place])
    entries = [Line2D([], [], color=shade, linestyle=line, label=NAMES[kind]) for kind, shade, line in _styles(study)]
    style.key(figure, entries, "Schedules", columns=4)
    style.note(figure, f"{style.BAND_NOTE} Upright: the decays of several. {DEAD}")
    return figure


def _styles(study: xr.Dataset) -> list[tuple[str, str, Any]]:
    """Schedule, colour and line, by when the first step size ends."""
    run = study.isel(network=0)
    steps = float(run["point_step"].values[-1])
    first, last = (float(run["decay_step"].values[place]) / steps for place in (0, -1))
    lasts = {"small": (0.0, SOLID), "late": (last, DOTTED), "several": (first, SOLID), "early": (first, DASHED)}
    return [(kind, style.colour(fraction), line) for kind, (fraction, line) in lasts.items()]


def _features(run: xr.Dataset) -> tuple[str, xr.DataArray]:
    for name, called in (("l0", "non-zeros (count)"), ("feature_sparsity", "feature sparsity (no unit)")):
        if name in run and bool(np.isfinite(run[name].values).any()):
            return called, at_paper(run[name])
    return "features", run["test_loss"] * np.nan


def _curves(ax: Axes, run: xr.Dataset, values: np.ndarray) -> None:
    """values: (schedules, seeds, points)."""
    steps = run["point_step"].values
    divide_by = style.step_axis(ax, steps)
    for step in run["decay_step"].values:
        ax.axvline(float(step) / divide_by, color="grey", linestyle=":", linewidth=0.8)
    if not values.shape[1]:
        style.empty(ax)
        return
    for kind, shade, line in _styles(run.expand_dims("network")):
        low, middle, high = style.quartiles(values[run["schedule"].values.tolist().index(kind)])
        ax.fill_between(steps / divide_by, low, high, color=shade, alpha=0.15, linewidth=0)
        ax.plot(steps / divide_by, middle, color=shade, linestyle=line)
