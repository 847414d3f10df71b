"""Where the neurons of a two-layer student start and end in the plane of its inputs, with the teacher's."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from largestep.figures import style
from largestep.figures.labels import Schedule, divergence, schedules, survived

COLUMNS = 4
PANEL = 2.0
TEACHER = "#009e73"


@style.house()
def draw(experiment: xr.Dataset) -> Figure:
    """One panel per cell: the first layer of one run, an arrow per neuron from its initial to its final weights."""
    arm = str(experiment["arm"].values[0])
    cells = schedules(experiment)
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    figure = Figure(figsize=(style.TEXT_WIDTH, rows * PANEL + 1.1))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    alive = survived(experiment).sel(arm=arm)
    for index, (ax, schedule) in enumerate(zip(axes, cells, strict=False)):
        seed = _seed(alive, schedule)
        style.letter(ax, index, schedule.label)
        if seed is None:
            style.empty(ax)
        else:
            weights = experiment["first_layer"].sel(cell=schedule.cell, arm=arm, seed=seed)
            _arrows(ax, weights.isel(snapshot_step=[0, -1]).values, schedule)
            ax.text(0.02, 0.02, f"seed {seed}", transform=ax.transAxes)
        _directions(ax, teacher(experiment))
        ax.set_aspect("equal", adjustable="datalim")
        ax.set_xlabel("weight of input 1 (no unit)")
        ax.set_ylabel("weight of input 2 (no unit)")
    for ax in axes[len(cells) :]:
        ax.remove()
    return figure


def teacher(experiment: xr.Dataset) -> NDArray[np.float64]:
    """Weights of the teacher's neurons, shape (neurons, 2): the first of its parameters; one output weight each follows."""
    flat = experiment["teacher"].values
    neurons = len(flat) // 3
    return flat[: 2 * neurons].reshape(neurons, 2)
