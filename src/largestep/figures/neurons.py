"""Where the neurons of a two-layer student start and end in the plane of its inputs, with the teacher's."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from largestep.figures import style
from largestep.figures.labels import outcomes, run_label, schedules
from largestep.measures.outcomes import survived
from largestep.registered import Suits

NEEDS = ("first_layer", "teacher_neurons")
SUITS = Suits(data=("teacher_student",), dimension=2)
CAPTION = """
*What is plotted.* The weights of every first-layer neuron in the plane of the two inputs, a panel for each schedule:
an open circle at the start of training, a line to a filled one at its end. Green dashed lines are the directions of
the neurons of the teacher, the network that labelled the data. Each panel shows a single run: the first seed that
diverges under none of the schedules, so that all panels start from the same weights (or, where there is no such
seed, the first one that survives in that panel). The seed is written in the panel.

*What the paper claims.* With a small step size the neurons hardly turn: many different ones stay active. Large steps
turn them until they point along few directions, those of the teacher, and shrink those that do not help.

*What to look for.* Filled circles that gather on few rays, or at the origin, against filled circles beside their
open ones. One run proves nothing: the figure of the curves shows the spread over seeds.

{{ peaks }}

{{ annealing }}

{{ lost }}
"""
# Inches: a square panel's side, what each needs besides, and what the figure needs besides.
SIDE = 2.0
LABELS = 0.65
LEGENDS = 0.55
TEACHER = "#009e73"


@style.house()
def draw(experiment: xr.Dataset) -> Figure:
    """One panel per cell: a line for every neuron of one run, from its initial to its final weights."""
    arm = str(experiment["arm"].values[0])
    cells = schedules(experiment)
    alive = survived(experiment).sel(arm=arm)
    rows, columns = style.shape(len(cells))
    figure = Figure(figsize=(style.TEXT_WIDTH, rows * (SIDE + LABELS) + LEGENDS))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    reach = 0.0
    for index, (ax, schedule) in enumerate(zip(axes, cells, strict=False)):
        style.letter(ax, index, schedule.label.replace(", ", ",\n", 1))
        ax.text(0.03, 0.97, outcomes(experiment, schedule.cell, arm), transform=ax.transAxes, va="top")
        seed = _seed(alive, schedule.cell)
        if seed is None:
            style.empty(ax)
            continue
        weights = experiment["first_layer"].sel(cell=schedule.cell, arm=arm, seed=seed)
        start, end = weights.isel(snapshot_step=0).values, weights.isel(snapshot_step=-1).values
        reach = max(reach, float(np.abs([start, end]).max()))
        _neurons(ax, start, end, style.colour(schedule.decay_fraction))
        said = run_label(experiment, schedule.cell, arm, seed)
        ax.text(0.03, 0.03, said, transform=ax.transAxes, bbox=style.BEHIND_TEXT)
    for ax in axes[len(cells) :]:
        ax.remove()
    limit = 1.25 * max(reach, 1.0)
    for ax in axes[: len(cells)]:
        _teacher_directions(ax, experiment["teacher_neurons"].values, limit)
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xlabel="weight of input 1 (no unit)")
        ax.set_ylabel("weight of input 2 (no unit)")
        ax.label_outer()
    _legend(figure)
    style.note(
        figure,
        "One run per panel: the first seed that diverges in no panel; where there is none, the panel's own first.",
        experiment.sel(arm=[arm]),
    )
    return figure


def _seed(alive: xr.DataArray, cell: str) -> int | None:
    """The same seed for every panel where possible, since a seed has one initial network in all cells."""
    for runs in (alive.all("cell"), alive.sel(cell=cell)):
        if runs.any():
            return int(runs["seed"].values[runs.values][0])
    return None


def _neurons(ax: Axes, start: NDArray[np.float64], end: NDArray[np.float64], shade: str) -> None:
    ax.plot(*np.stack([start, end]).T.transpose(0, 2, 1), color=style.tint(shade, 0.6), linewidth=0.7)
    ax.plot(*start.T, "o", color="white", markeredgecolor=shade, markeredgewidth=0.7, markersize=2.5, zorder=3)
    ax.plot(*end.T, "o", color=shade, markersize=3.2, zorder=4)


def _teacher_directions(ax: Axes, directions: NDArray[np.float64], limit: float) -> None:
    for x, y in directions / np.linalg.norm(directions, axis=1, keepdims=True):
        ax.plot([0, 2 * limit * x], [0, 2 * limit * y], color=TEACHER, linestyle="--", linewidth=1.0, zorder=1)


def _legend(figure: Figure) -> None:
    grey = style.CONSTANT
    start = Line2D([], [], linestyle="", marker="o", color="white", markeredgecolor=grey, label="neuron at the start")
    end = Line2D([], [], color=style.tint(grey, 0.6), marker="o", markerfacecolor=grey, label="and at the end")
    for entry in (start, end):
        entry.set_markersize(3.0)
    teacher = Line2D([], [], color=TEACHER, linestyle="--", linewidth=1.0, label="directions of the teacher's neurons")
    style.key(figure, [start, end, teacher], "Weights of the first layer", columns=3)
