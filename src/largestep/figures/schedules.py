"""The step size of every cell along training, in one panel."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import NDArray

from largestep.figures import labels, style
from largestep.figures.labels import Schedule
from largestep.registered import Suits

NEEDS = ("step_size", "decay_fraction", "decay_step")
SUITS = Suits()
CAPTION = """
*What is plotted.* The step size of each schedule along training, on a logarithmic axis, as it is where the loss is
evaluated. Nothing in it is measured: it is what the other figures of this experiment compare. Where lines coincide,
the narrower lie on the wider, so that all their colours show.

*What to look for.* What else differs between two schedules than how long the large step size lasts: a warm-up that
goes on until the decay also makes the longer phase one of larger steps, and the decayed step sizes may not be the
same.

{{ peaks }}

{{ annealing }}
"""
HEIGHT = 2.8
# Points: the width of a line, what each line that lies on it adds, and the white rim of a line in another's colour.
WIDTH, WIDER, RIM = 1.2, 1.0, 0.4
# Step sizes closer than this are one line to the eye.
ALIKE = 0.01
# Of the largest: annealed step sizes, which end at 0, are not followed farther down for their own sake.
LOWEST = 1e-3


@style.house()
def draw(experiment: xr.Dataset) -> Figure:
    """A line per cell on a logarithmic axis; those that stay large the longest lie at the bottom and are the widest."""
    cells = labels.schedules(experiment)
    steps = experiment["step"].values
    sizes = {each.cell: experiment["step_size"].sel(cell=each.cell).values for each in cells}
    figure = Figure(figsize=(style.TEXT_WIDTH, HEIGHT))
    ax = figure.subplots()
    divide_by = style.step_axis(ax, steps)
    ordered = sorted(cells, key=_lasts, reverse=True)
    for index, schedule in enumerate(ordered):
        above = [_coincide(sizes[schedule.cell], sizes[each.cell]) for each in ordered[index + 1 :]]
        width = WIDTH + WIDER * sum(above)
        x, y = _path(steps, sizes[schedule.cell], labels.decays(experiment, schedule))
        ax.plot(
            x / divide_by,
            np.where(y > 0, y, np.nan),
            color=style.colour(schedule.decay_fraction),
            linestyle=style.line_style(schedule),
            linewidth=width,
            solid_capstyle="butt",
            solid_joinstyle="miter",
            path_effects=[Stroke(linewidth=width + 2 * RIM * (schedule.twin > 0), foreground="white"), Normal()],
        )
    lowest, highest = _range(sizes, cells)
    ax.set_ylim(lowest / 1.6, highest * 1.6)
    style.log_axis(ax)
    ax.set_ylabel("step size η (no unit)")
    style.letter(ax, 0, "step size")
    entries = [
        Line2D([], [], color=style.colour(each.decay_fraction), linestyle=style.line_style(each), label=each.label)
        for each in cells
    ]
    style.key(figure, entries, "Schedules", columns=2)
    style.note(figure, note(cells))
    return figure


def note(cells: list[Schedule]) -> str:
    """How to read the figure."""
    lines = ["Step sizes as they are where the loss is evaluated. Where lines coincide, the narrower lie on the wider."]
    if any(np.isnan(each.decay_fraction) for each in cells):
        lines.append("An annealed step size goes down to 0 and leaves the panel.")
    return " ".join(lines)


def _lasts(schedule: Schedule) -> float:
    """How long a cell keeps its step size: for ever where it is constant, not at all where it is annealed."""
    if np.isnan(schedule.decay_fraction):
        return -1.0
    return schedule.decay_fraction if schedule.decay_fraction > 0 else np.inf


def _coincide(sizes: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    """Whether two lines, both (steps,), run together somewhere; where they cross they do not."""
    alike = np.isclose(sizes, others, rtol=ALIKE)
    return bool((alike[1:] & alike[:-1]).any())


def _path(
    steps: NDArray[np.int64], sizes: NDArray[np.float64], decays: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The line through sizes, (steps,); where a step size is divided it falls in one step, not on a slope."""
    falls = np.searchsorted(steps, decays)
    x = np.insert(steps, np.repeat(falls, 2), np.repeat(decays, 2))
    # Recorded sizes hold from the decay on; before it, that of the record before.
    return x, np.insert(sizes, np.repeat(falls, 2), np.stack([sizes[falls - 1], sizes[falls]], axis=1).ravel())


def _range(sizes: dict[str, NDArray[np.float64]], cells: list[Schedule]) -> tuple[float, float]:
    """The smallest and the largest step size to show."""
    highest = max(float(values.max()) for values in sizes.values())
    kept = [sizes[each.cell] for each in cells if not np.isnan(each.decay_fraction)]
    lowest = min(float(values[values > 0].min()) for values in kept)
    return (min(lowest, LOWEST * highest), highest) if len(kept) < len(cells) else (lowest, highest)
