"""The function that a one-dimensional regression learns: one run along training, and all runs at its end."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from largestep.figures import style
from largestep.figures.labels import Schedule, divergence, schedules, survived

# Fractions of training, with the strength of their colour; the end comes last.
MOMENTS = {0.05: 0.35, 0.25: 0.55, 0.5: 0.78, 1.0: 1.0}
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
        _one_run(above, runs, schedule)
        style.band(below, experiment["point"].values, runs.isel(snapshot_step=-1).values, schedule)
        style.letter(above, column, schedule.label.replace(", ", ",\n", 1))
        style.letter(below, len(cells) + column, f"all seeds, {divergence(experiment, schedule.cell, arm)}")
        below.set_xlabel("input (no unit)")
        if not len(runs):
            style.empty(above)
            style.empty(below)
    for ax in axes.ravel():
        ax.plot(experiment["train_inputs"], experiment["train_labels"], "o", color="black", markersize=2.5, zorder=4)
    for ax in axes[:, 0]:
        ax.set_ylabel("output (no unit)")
    _frame(axes[0, 0], experiment)
    _legend(figure)
    style.note(figure, f"Top row: the first seed that did not diverge. Bottom row, end of training:\n{style.BAND_NOTE}")
    return figure


def _one_run(ax: Axes, runs: xr.DataArray, schedule: Schedule) -> None:
    if not len(runs):
        return
    steps = runs["snapshot_step"].values
    for fraction, strength in MOMENTS.items():
        fit = runs[0].sel(snapshot_step=fraction * steps[-1], method="nearest")
        ax.plot(fit["point"], fit, color=style.tint(style.colour(schedule.decay_fraction), strength))
    seed = int(runs["seed"][0])
    ax.text(0.98, 0.03, f"seed {seed}", transform=ax.transAxes, ha="right", bbox=style.BEHIND_TEXT, zorder=5)


def _frame(ax: Axes, experiment: xr.Dataset) -> None:
    """Show the range of the labels and half of it beyond; functions that go further are cut."""
    labels = experiment["train_labels"].values
    margin = 0.5 * np.ptp(labels)
    ax.set_ylim(labels.min() - margin, labels.max() + margin)


def _legend(figure: Figure) -> None:
    points = Line2D([], [], linestyle="", marker="o", color="black", markersize=2.5, label="training points")
    moments = [
        Line2D([], [], color=style.tint("#000000", strength), label=f"{100 * fraction:g}% of training")
        for fraction, strength in MOMENTS.items()
    ]
    style.key(figure, [points, *moments], "Top row, from pale to dark:", columns=5)
