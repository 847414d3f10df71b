"""The function that a one-dimensional regression learns: one run along training, and all runs at its end."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from largestep.figures import style
from largestep.figures.labels import Schedule, outcomes, run_label, schedules
from largestep.measures.outcomes import survived
from largestep.registered import Suits

NEEDS = ("fit", "train_inputs", "train_labels")
SUITS = Suits(data=("points",))
CAPTION = """
*What is plotted.* The function that the network computes, with the training points as black dots; a column for each
schedule. Top row: one run along its training, from pale to dark, at the snapshots nearest to 10%, 30%, 50% and 100%
of it; the legend says where they lie. The run is the first seed that did not diverge, seed 0 unless the panel says
otherwise; it was not chosen by its look. Bottom row: all seeds at the end of training. Functions that leave the
frame are cut.

*What the paper claims.* Large steps first simplify the function, to a few straight pieces that miss some of the
points; only after the decay does it fit them, still with few kinks. Short phases of large steps leave a function
with many kinks. A larger warm-up is said to simplify too much, so that the points are no longer fitted.

*What to look for.* Straight pieces between points rather than wiggles, before and after the decay. In the bottom
row, a narrow band means that the seeds agree on one function; a wide one, that the function between the points is
arbitrary.

{{ bands }}

{{ peaks }}

{{ annealing }}

{{ lost }}
"""
# Fractions of training, with the strength of their colour; the end comes last.
MOMENTS = {0.1: 0.35, 0.3: 0.55, 0.5: 0.78, 1.0: 1.0}
HEIGHT = 4.4


@style.house()
def draw(experiment: xr.Dataset) -> Figure:
    """One column per cell: the function of one run at four moments, and below it that of all runs at the end."""
    arm = str(experiment["arm"].values[0])
    cells = schedules(experiment)
    figure = Figure(figsize=(style.TEXT_WIDTH, HEIGHT))
    axes = figure.subplots(2, len(cells), squeeze=False, sharex=True, sharey=True)
    for column, schedule in enumerate(cells):
        runs = experiment["fit"].sel(cell=schedule.cell, arm=arm)
        runs = runs[survived(experiment).sel(cell=schedule.cell, arm=arm).values]
        above, below = axes[:, column]
        if len(runs):
            _one_run(above, runs[0], schedule)
            said = run_label(experiment, schedule.cell, arm, int(runs["seed"][0]))
            above.text(0.98, 0.03, said, transform=above.transAxes, ha="right", bbox=style.BEHIND_TEXT, zorder=5)
        style.band(below, experiment["point"].values, runs.isel(snapshot_step=-1).values, schedule)
        style.letter(above, column, schedule.label.replace(", ", ",\n", 1))
        style.letter(below, len(cells) + column, f"all seeds,\n{outcomes(experiment, schedule.cell, arm)}")
        below.set_xlabel("input (no unit)")
        if not len(runs):
            style.empty(above)
            style.empty(below)
    for ax in axes.ravel():
        ax.plot(experiment["train_inputs"], experiment["train_labels"], "o", color="black", markersize=2.5, zorder=4)
    for ax in axes[:, 0]:
        ax.set_ylabel("output (no unit)")
    _frame(axes[0, 0], experiment)
    _legend(figure, experiment["snapshot_step"].values)
    said = f"Top row: the first seed that did not diverge. Bottom row: end of training. {style.BAND_NOTE}"
    style.note(figure, said, experiment.sel(arm=[arm]))
    return figure


def _moments(steps: NDArray[np.int64]) -> dict[int, float]:
    """The snapshots to show, those nearest to `MOMENTS`, with the strength of their colour."""
    return {int(steps[np.abs(steps - part * steps[-1]).argmin()]): strength for part, strength in MOMENTS.items()}


def _one_run(ax: Axes, fits: xr.DataArray, schedule: Schedule) -> None:
    for step, strength in _moments(fits["snapshot_step"].values).items():
        shade = style.tint(style.colour(schedule.decay_fraction), strength)
        ax.plot(fits["point"], fits.sel(snapshot_step=step), color=shade)


def _frame(ax: Axes, experiment: xr.Dataset) -> None:
    """Show the range of the labels and half of it beyond; functions that go further are cut."""
    labels = experiment["train_labels"].values
    margin = 0.5 * np.ptp(labels)
    ax.set_ylim(labels.min() - margin, labels.max() + margin)


def _legend(figure: Figure, steps: NDArray[np.int64]) -> None:
    points = Line2D([], [], linestyle="", marker="o", color="black", markersize=2.5, label="training points")
    moments = [
        Line2D([], [], color=style.tint("#000000", strength), label=f"{100 * step / steps[-1]:.3g}% of training")
        for step, strength in _moments(steps).items()
    ]
    style.key(figure, [points, *moments], "Top row, from pale to dark:", columns=5)
