"""The training loss around the large-step phase of every cell, and how flat it is: a row of panels per arm."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from largestep.figures import style
from largestep.figures.curves import which_loss
from largestep.figures.labels import ARMS, Schedule, outcomes, schedules
from largestep.measures.outcomes import survived
from largestep.measures.stabilisation import FEWEST_POINTS, FLAT
from largestep.registered import Suits

NEEDS = ("train_loss", "stabilisation_slope")
SUITS = Suits(decays=True)
CAPTION = """
*What is plotted.* The training loss around the phase of large steps, a panel for each schedule that has one, and how
flat it is there.{% if training["arms"] | length > 1 %} The rows of panels are the arms: in the first, all seeds
share a data set; in the second, each seed has its own.{% endif %} Thin lines are the runs that never diverged, the
thick one is the median over them. A tick at the top is the *onset* of a run: the step from which the mean of its log
loss is known best when all before is dropped (the marginal standard error rule, MSER). A run has none, and never
stabilises, when that would take dropping more than half of the phase, or when its trend lies beyond the grey range
with its whole interval, or when its loss is mere rounding error. The blue line is the *level*, the mean of the loss
from the onset to the decay, as the median over the runs that stabilise. The last panel has the *trend* of every run:
by how many decades (factors of ten) its loss changes over the second half of the phase, by least squares on log10 of
the loss, with a 95% block-bootstrap interval. Runs are sorted; the schedules come in the order of their panels. Where
the grey range ends, the loss changes by a factor of two.

*What the paper claims.* {% if training["batch_size"] == "full" %}At a large step size the training loss of SGD stays
at a level, because of its noise; here there is no noise but that of the unstable step size itself.{% else %}At a
large step size the training loss stops falling and stays at a level until the step size is divided; then it drops.
The level sets the size of SGD's noise, to which the paper ascribes the simple solutions.{% endif %}

*What to look for.* Are the dots of the last panel in the grey range, or do most runs rise or fall? Intervals much
wider than the range say that a single run cannot tell. Does the blue line run through a flat stretch, does it begin
early, and does the loss drop behind the dotted line?

{{ peaks }}

{{ lost }}
"""
# Inches: of a row of panels, and of legend and notes together.
ROW_HEIGHT, AROUND = 1.7, 1.2
# Past the decay, as a share of the phase before it.
BEYOND = 0.5
# Decades either way; steeper runs are drawn at the edge.
STEEPEST = 1.5
LEVEL = "#0072B2"
# What the labels of all of these cells begin with.
LARGE = "large step, "
UPON_THE_RANGE: dict[str, Any] = {"bbox": style.BEHIND_TEXT, "zorder": 5}


@style.house()
def draw(experiment: xr.Dataset) -> Figure:
    """A panel with the loss of every cell that has a large-step phase, and one with the slopes of all of them."""
    shown = experiment.isel(cell=experiment["decay_fraction"].values > 0)
    cells, arms = schedules(shown), [str(arm) for arm in shown["arm"].values]
    # A panel for each cell, and None for that of the slopes.
    pages = [(arm, group) for arm in arms for group in style.parted([*cells, None])]
    figure = style.Book([style.shape(len(group))[0] * ROW_HEIGHT + AROUND for _, group in pages])
    said = " ".join([note(), which_loss(shown)] if "test_error" in shown else [note()])
    numbers, names = itertools.count(), dict[str, str]()
    for part, (arm, group) in zip(figure.pages, pages, strict=True):
        axes = part.subplots(*style.shape(len(group)), squeeze=False).ravel()
        for ax, schedule in zip(axes, group, strict=False):
            if schedule is None:
                slopes(ax, shown.sel(arm=arm), cells, names)
                style.letter(ax, next(numbers), "trend before decay")
                continue
            loss(ax, shown.sel(cell=schedule.cell, arm=arm), schedule)
            ax.set_ylabel("cross-entropy (nat)" if "test_error" in shown else "squared error (no unit)")
            names[schedule.cell] = style.letters(index := next(numbers))
            style.letter(ax, index, f"{schedule.label.removeprefix(LARGE)}\n{outcomes(shown, schedule.cell, arm)}")
        for ax in axes[len(group) :]:
            ax.remove()
        style.heading(part, ARMS[arm])
        style.note(part, said, shown)
    return figure


def note() -> str:
    """How to read the figure."""
    return (
        "Loss: every run that never diverges, and the median over them. Blue line: level of the stable loss, its mean "
        "over time, from the onset to the decay (median over the runs that stabilise); ticks at the top: their onsets. "
        "Dotted line: the step size is divided. Trend: change of log10 loss over the second half of the large-step "
        f"phase, run by run, with 95% block-bootstrap intervals, by the letter of its panel. Grey: within ±{FLAT:g}, "
        f"where the loss counts as flat. Beyond ±{STEEPEST:g}: drawn at the edge."
    )


def loss(ax: Axes, runs: xr.Dataset, schedule: Schedule) -> None:
    """The loss of every run of one cell and arm around its large-step phase, with onsets and level."""
    steps = runs["step"].values
    decay = int(runs["decay_step"][0])
    divide_by = style.step_axis(ax, steps)
    near = steps <= (1 + BEYOND) * decay
    ax.set_xlim(0, max(steps[near][-1], 1) / divide_by)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.axvline(decay / divide_by, color="black", linestyle=":", linewidth=0.8)
    values = runs["train_loss"].values[survived(runs).values][:, near]
    if not len(values):
        style.empty(ax)
        return
    shade = style.colour(schedule.decay_fraction)
    for run in values:
        ax.plot(steps[near] / divide_by, run, color=style.tint(shade, 0.35), linewidth=0.25, rasterized=True)
    ax.plot(steps[near] / divide_by, np.median(values, axis=0), color=shade, linestyle=style.line_style(schedule))
    style.log_axis(ax)
    onsets = runs["stabilisation_onset"].dropna("seed").values / divide_by
    if len(onsets):
        level = float(runs["stabilisation_level"].median())
        ax.plot([np.median(onsets), decay / divide_by], [level, level], color=LEVEL, linewidth=1.6, zorder=4)
        ax.vlines(onsets, 0.95, 1.0, transform=ax.get_xaxis_transform(), color=LEVEL, linewidth=0.5)
    said = f"stable: {len(onsets)} of {len(values)}"
    if runs["stabilisation_slope"].isnull().all():
        said = f"fewer than {FEWEST_POINTS}\nrecorded steps\nbefore the decay"
    ax.text(0.03, 0.04, said, transform=ax.transAxes, va="bottom", bbox=style.BEHIND_TEXT, zorder=5)


def slopes(ax: Axes, runs: xr.Dataset, cells: list[Schedule], names: dict[str, str]) -> None:
    """The slope of every run of one arm with its interval, cell by cell, beside the range that counts as flat.

    names: the letter of each cell's own panel.
    """
    ax.axvspan(-FLAT, FLAT, color=style.tint(style.CONSTANT, 0.25), linewidth=0)
    ax.axvline(0, color="black", linewidth=0.6)
    for place, schedule in enumerate(cells):
        of_cell = runs.sel(cell=schedule.cell).dropna("seed", subset=["stabilisation_slope"])
        of_cell = of_cell.sortby("stabilisation_slope")
        slope, low, high = (of_cell[f"stabilisation_slope{end}"].values for end in ("", "_low", "_high"))
        # From the top: the cells in their order, each with as much room whatever the number of its runs.
        heights = place + (np.arange(len(slope)) + 0.5) / max(len(slope), 1) * 0.8 + 0.1
        shade = style.colour(schedule.decay_fraction)
        ax.hlines(heights, low, high, color=style.tint(shade, 0.4), linewidth=0.5)
        ax.plot(np.clip(slope, -STEEPEST, STEEPEST), heights, ".", color=shade, markersize=2.2, markeredgewidth=0)
        if not len(slope):
            across = ax.get_yaxis_transform()
            ax.text(0.5, place + 0.5, "not measured", transform=across, ha="center", va="center", **UPON_THE_RANGE)
    ax.set_xlim(-STEEPEST, STEEPEST)
    ax.set_ylim(len(cells), 0)
    ax.set_yticks(
        np.arange(len(cells)) + 0.5, [f"{names[each.cell]}  {100 * each.decay_fraction:.3g}%" for each in cells]
    )
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("change (decades)")
    ax.set_ylabel("panel, decay at")
