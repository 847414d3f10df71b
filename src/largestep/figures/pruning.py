"""The training loss against the share of units deleted, a panel for every network."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.figures import style
from largestep.measures.pruning import TOLERANCE
from largestep.threshold_sweep import at_paper

NEEDS = ("rise", "redundant_units", "redundant_rise", "random_rise", "decay_fraction", "units", "diverged_step")
CAPTION = """
*What is plotted.* The rise of the training loss over the loss of the best constant, against the share of hidden units
that are deleted, those first that the measure of sparsity calls most redundant; a deleted unit is replaced by the
multiple of its twin. A panel for each network, a line for each schedule: median and middle half over the seeds that
survive. Dots: the units redundant at the paper's threshold, and crosses: as many at random, medians.

*What is claimed.* By nobody: that the units are redundant is what the measure says, and C20 puts it to the test.

*What to look for.* Are dots below the dashed line, a hundredth of the loss of a constant, and crosses well above? Do
the lines of longer large steps, which are darker, cross it further to the right?
"""
# Inches: of a row of panels, and of legend and notes together.
ROW_HEIGHT, AROUND = 2.1, 0.9
# The axis is linear below.
LINEAR = 1e-3


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """One panel per network."""
    names = list(dict.fromkeys(study["network"].values.tolist()))
    rows, columns = style.shape(len(names))
    figure = Figure(figsize=(style.TEXT_WIDTH, rows * ROW_HEIGHT + AROUND))
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for place, (ax, name) in enumerate(zip(axes.ravel(), names, strict=False)):
        runs = study.isel(run=np.flatnonzero(study["network"].values == name)).sortby("decay_fraction")
        lost = sum(_line(ax, runs.isel(run=one)) for one in range(runs.sizes["run"]))
        if not ax.lines:
            style.empty(ax)
        ax.axhline(TOLERANCE, color="black", linestyle="--", linewidth=0.8)
        ax.set_yscale("symlog", linthresh=LINEAR)
        ax.set_xlabel("units deleted (%)")
        style.letter(ax, place, f"{name.replace('_', ' ')}\n{lost} of {int(runs['seeds_run'].sum())} runs diverged")
    for ax in axes.ravel()[len(names) :]:
        ax.remove()
    for ax in axes[:, 0]:
        ax.set_ylabel("rise of the training loss\n(share of a constant's)")
    style.key_of_panels(figure, "Schedules", columns=4)
    style.note(figure, f"{style.BAND_NOTE} Dots: redundant units. Crosses: as many at random. Dashed: a hundredth.")
    return figure


def _line(ax: Axes, run: xr.Dataset) -> int:
    """Draw one schedule; returns how many of its runs diverged."""
    alive = run["diverged_step"].values[: int(run["seeds_run"])] < 0
    if alive.any():
        fraction, units = float(run["decay_fraction"]), int(run["units"])
        shade, survivors = style.colour(fraction), run.isel(seed=np.flatnonzero(alive))
        rise = survivors["rise"].transpose("seed", "deleted").values[:, : units + 1]
        low, middle, high = style.quartiles(rise)
        percent = 100.0 * np.arange(units + 1) / units
        label = "small step" if fraction == 0.0 else f"large until {100 * fraction:g}%"
        ax.fill_between(percent, low, high, color=shade, alpha=0.2, linewidth=0)
        ax.plot(percent, middle, color=shade, label=label)
        share = 100.0 * np.median(at_paper(survivors["redundant_units"]).values)
        for variable, mark in (("redundant_rise", "o"), ("random_rise", "x")):
            ax.plot(share, np.median(at_paper(survivors[variable]).values), mark, color=shade, markersize=4)
    return int((~alive).sum())
