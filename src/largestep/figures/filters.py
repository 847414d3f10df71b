"""First-layer filters of one seed at the start and at the end of training, small step beside large step (Fig. 17)."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from largestep.figures import style
from largestep.figures.labels import Schedule, outcomes, run_label, schedules
from largestep.measures.outcomes import survived
from largestep.measures.small_step import small_step
from largestep.registered import Suits

NEEDS = ("filters",)
SUITS = Suits(images=True)
CAPTION = """
*What is plotted.* The filters of the first layer, at most 64, before and after training, for two schedules: the
small step size, or else the shortest phase of large steps, and the longest one. A frame has the colour of its
schedule. All panels show one seed, the first that diverges in no schedule shown, so that both runs start from the
same filters; it is written beside the schedule. Filters stand in the order of their norms at the end, which puts
those that have vanished last. Each panel has its own scale, symmetric about 0: its ends are the largest weight in
it, a weight of 0 is mid-grey. Filters of colour images are shown in colour.

*What the paper claims.* A small step size leaves the early layers at the init (C14), the filters as they were drawn;
large steps do not.

*What to look for.* Panels before and after that look alike for the small step size. Grey filters at the end of the
panel of the large one, and the number of those whose norm has fallen to a tenth. One run proves nothing: the figure
of the distances shows the spread over seeds.

{{ peaks }}

{{ annealing }}

{{ lost }}
"""
# Filters side by side in a panel.
COLUMNS = 16
# Inches: the width of a panel, what a cell needs above its panels, and the figure below them.
PANEL_WIDTH, HEADINGS, NOTES = 3.35, 0.45, 0.5
# Of its norm at the start: a filter below this has nearly vanished.
VANISHED = 0.1
# Of the side of a filter: the gap to the next one.
GAP = 0.15


@style.house()
def draw(experiment: xr.Dataset) -> Figure:
    """A row for each of two cells: all filters of one run before training, and what has become of them."""
    arm = str(experiment["arm"].values[0])
    cells = shown_cells(experiment)
    alive = survived(experiment).sel(arm=arm, cell=[each.cell for each in cells])
    # The first of all seeds, or else the first that survives in the most of these cells.
    seed = int(alive["seed"].values[alive.sum("cell").values.argmax()])
    filters = experiment["filters"].sel(arm=arm, seed=seed)
    rows, columns = layout(filters.sizes["filter"])
    height = PANEL_WIDTH * rows / columns + HEADINGS
    figure = Figure(figsize=(style.TEXT_WIDTH, len(cells) * height + NOTES))
    parts = figure.subfigures(len(cells), 1, squeeze=False)[:, 0]
    for place, (part, schedule) in enumerate(zip(parts, cells, strict=True)):
        said = f"{outcomes(experiment, schedule.cell, arm)}; {run_label(experiment, schedule.cell, arm, seed)}"
        part.suptitle(f"{schedule.label} ({said})", x=0.01, ha="left", fontsize=style.RC["axes.titlesize"])
        start, end = part.subplots(1, 2)
        of_cell = filters.sel(cell=schedule.cell)
        before, after = (as_pictures(of_cell.sel(moment=moment).values) for moment in ("start", "end"))
        lengths = np.linalg.norm(after.reshape(len(after), -1), axis=1)
        order = np.argsort(-lengths, kind="stable")
        style.letter(start, 2 * place, f"start, ±{_scale(before):.2g}")
        show(start, before[order], schedule)
        if np.isfinite(after).all():
            vanished = lengths < VANISHED * np.linalg.norm(before.reshape(len(before), -1), axis=1)
            title = f"end, ±{_scale(after):.2g}; {int(vanished.sum())} of {len(after)} nearly vanished"
            show(end, after[order], schedule)
        else:
            step = int(experiment["diverged_step"].sel(cell=schedule.cell, arm=arm, seed=seed))
            title = "end"
            frame(end, after.shape, schedule)
            end.text(0.5, 0.5, f"diverged at step {step}", transform=end.transAxes, ha="center", va="center")
        style.letter(end, 2 * place + 1, title)
    style.note(figure, note(experiment, seed, lost=not alive.sel(seed=seed).all()), experiment.sel(arm=[arm]))
    return figure


def note(experiment: xr.Dataset, seed: int, *, lost: bool) -> str:
    """How to read the figure; lost: whether the seed diverges in a schedule shown."""
    lines = [f"Seed {seed}, the first that diverges in no schedule shown here."]
    if lost:
        lines = [f"No seed survives in all schedules shown here; seed {seed} is the first that survives in the most."]
    lines.append("Filters stand in the order of their norms at the end, before and after, from the upper left on.")
    channels, points = experiment.sizes["channel"], experiment.sizes["row"] * experiment.sizes["column"]
    if channels == 3 and points > 1:
        lines.append("Red, green and blue are the weights of the three channels, a weight of 0 half of each: grey.")
    else:
        lines.append("Grey is a weight of 0, white the upper end of the scale and black the lower one.")
    if points == 1:
        lines.append("The inputs of a unit fill a square row by row, with grey at its end.")
    elif channels not in (1, 3):
        lines.append(f"Weights are means over {channels} channels.")
    return " ".join(
        [
            *lines,
            "±: the ends of a panel's scale, its largest weight (no unit).",
            f"Nearly vanished: a norm below {100 * VANISHED:g}% of that at the start.",
        ]
    )


def shown_cells(experiment: xr.Dataset) -> list[Schedule]:
    """The small step, or else the cell with the shortest phase of large steps, and that with the longest one.

    Where there is neither, the first and the last cell.
    """
    small = dict(zip(experiment["cell"].values, small_step(experiment).values, strict=True))
    cells = schedules(experiment)
    asked = [each for each in cells if each.decay_fraction > 0 or small[each.cell]] or cells
    asked.sort(key=lambda each: each.decay_fraction if each.decay_fraction > 0 else 0.0)
    return asked[:1] + asked[1:][-1:]


def layout(count: int) -> tuple[int, int]:
    """Rows and columns of a panel for so many filters."""
    columns = min(COLUMNS, count)
    return math.ceil(count / columns), columns


def as_pictures(filters: NDArray[np.floating]) -> NDArray[np.float64]:
    """Filters (filter, channel, row, column) as pictures (filter, row, column, shade), shade being 1 or 3.

    The inputs of filters with one row and one column are put into a square, row by row; other numbers of channels
    than 1 and 3 are averaged.
    """
    count, channels, rows, columns = filters.shape
    values = filters.astype(np.float64)
    if rows * columns == 1:
        side = math.ceil(math.sqrt(channels))
        square = np.zeros((count, side * side, 1))
        square[:, :channels, 0] = values[:, :, 0, 0]
        return square.reshape(count, side, side, 1)
    values = np.moveaxis(values, 1, -1)
    return values if channels in (1, 3) else values.mean(axis=-1, keepdims=True)


def show(ax: Axes, pictures: NDArray[np.float64], schedule: Schedule) -> None:
    """All filters, (filter, row, column, shade), in rows from the upper left, on a scale that is symmetric about 0."""
    _, columns = layout(len(pictures))
    shades = np.repeat(pictures, 3, axis=-1) if pictures.shape[-1] == 1 else pictures
    shades = 0.5 + 0.5 * shades / (_scale(pictures) or 1.0)
    for index, shade in enumerate(np.clip(shades, 0.0, 1.0)):
        top, left = divmod(index, columns)
        extent = (left + GAP / 2, left + 1 - GAP / 2, top + 1 - GAP / 2, top + GAP / 2)
        ax.imshow(shade, extent=extent, interpolation="nearest")
    frame(ax, pictures.shape, schedule)


def frame(ax: Axes, shape: tuple[int, ...], schedule: Schedule) -> None:
    """A frame in the colour of the schedule for pictures of a shape, and no axes: a picture of filters has none."""
    count, height, width, _ = shape
    rows, columns = layout(count)
    ax.set(xlim=(-GAP / 2, columns + GAP / 2), ylim=(rows + GAP / 2, -GAP / 2), aspect=height / width)
    ax.grid(visible=False)
    ax.tick_params(bottom=False, left=False, labelbottom=False, labelleft=False)
    ax.spines[:].set(visible=True, color=style.colour(schedule.decay_fraction), linewidth=1.2)


def _scale(pictures: NDArray[np.float64]) -> float:
    return float(np.abs(pictures).max())
