"""The house style: sizes, colours and the parts that every figure shares.

A colour means a schedule, in every figure of schedules: grey is a constant step size, sky blue an annealed one; the
others come from a map that is ordered in lightness and safe for the colour-blind, the darker the longer the large steps
last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from string import ascii_lowercase
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from largestep import store
from largestep.figures.labels import ARMS, DEAD, Schedule, outcomes, schedules
from largestep.measures.outcomes import dead

# Inches: the whole width of a two-column page, at which the fonts have the sizes below.
TEXT_WIDTH = 7.0
# Of a page: panels, and how many of them side by side.
MOST_PANELS, MOST_COLUMNS = 6, 3

CONSTANT = "#767676"
# Of Okabe and Ito's colours the one that stays farthest from grey and from the map, whatever the eye.
ANNEALED = "#56B4E9"
# Okabe and Ito's colours, safe for the colour-blind; in figures that compare algorithms under one schedule.
ALGORITHMS = {
    "sgd": ("SGD", "#0072B2"),
    "gd": ("gradient descent", "#E69F00"),
    "flow": ("gradient flow", "#009E73"),
    "sde": ("SDE, δ from its own loss", "#CC79A7"),
    "sde_coupled": ("SDE, δ from SGD's loss", "#56B4E9"),
    "catapult": ("catapult: gradient descent beyond 2/sharpness", "#D55E00"),
}
LINE_STYLES = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
MARKS = ("o", "D", "s")
QUANTILES = (0.25, 0.5, 0.75)
BAND_NOTE = "Lines: median over the runs that never diverge; bands: their middle half (25–75%)."
LOST = "every run diverged"
NOT_POSITIVE = "no value above 0"
# Characters of a legend's entry of which two fit side by side, and of one that fits into a column of a page of two.
HALF_A_PAGE, A_COLUMN = 62, 50
# Inches of a legend: what every figure is made for, and what it can do with.
USUAL_LEGEND, MOST_LEGEND = 0.5, 1.2
# Characters of a line of notes.
WHOLE_PAGE = 130
# A logarithmic axis that spans no more than this needs ticks between the powers of ten.
FEW_POWERS = 200.0
BEHIND_TEXT = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.0}
# Far enough right of the last step that neither the line nor its band covers it.
PUBLISHED_AT = 1.035

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.0,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.0,
    "axes.titlelocation": "left",
    "axes.titlepad": 4.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7.0,
    "legend.title_fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.5,
    "legend.labelspacing": 0.3,
    "legend.borderaxespad": 0.2,
    "lines.linewidth": 1.2,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.03,
    "savefig.dpi": 250,
    "pdf.fonttype": 42,  # TrueType outlines go into the file, so that it looks the same everywhere
}


@contextmanager
def house() -> Iterator[None]:
    """The context in which every figure is drawn and saved; also decorates a function."""
    with mpl.rc_context():
        # Not what a matplotlibrc of the user's own says, such as usetex.
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        yield


def colour(decay_fraction: float) -> str:
    """The colour of every schedule that keeps its large steps for this fraction of training; NaN: anneals them."""
    if np.isnan(decay_fraction):
        return ANNEALED
    if decay_fraction == 0:
        return CONSTANT
    # Squared, so that the durations in use lie well apart; the pale end of the map does not print.
    return to_hex(mpl.colormaps["plasma"](0.84 * (1.0 - decay_fraction) ** 2))


def line_style(schedule: Schedule) -> Any:
    """Solid, or dashed and dotted for further cells of the same colour."""
    return LINE_STYLES[schedule.twin % len(LINE_STYLES)]


def quartiles(runs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The `QUANTILES` over runs (runs, ...), shape (3, ...), of those that have a value; NaN where none has.

    np.quantile makes NaN of finite values beside an infinite one, and of all where a single run is NaN: one run would
    take a whole band away.
    """
    if np.isfinite(runs).all():
        return np.asarray(np.quantile(runs, QUANTILES, axis=0))
    levels = np.full((len(QUANTILES), *runs.shape[1:]), np.nan)
    for place in np.ndindex(runs.shape[1:]):
        column = runs[(slice(None), *place)]
        known = np.sort(column[~np.isnan(column)])
        if len(known):
            levels[(slice(None), *place)] = [_between(known, level * (len(known) - 1)) for level in QUANTILES]
    return levels


def _between(ordered: NDArray[np.float64], position: float) -> float:
    """The value at a position among ordered ones, linear between two; where one of these is infinite, that one."""
    below, above = ordered[math.floor(position)], ordered[math.ceil(position)]
    if below == above or np.isinf(below):
        return float(below)
    return float(below + (position % 1.0) * (above - below))


def band(ax: Axes, x: NDArray[Any], runs: NDArray[np.float64], schedule: Schedule) -> None:
    """The median over runs as a line and their middle half as a band (see `BAND_NOTE`).

    runs: shape (runs, len(x)); without runs there is nothing to draw.
    """
    if not len(runs):
        return
    low, middle, high = quartiles(runs)
    shade = colour(schedule.decay_fraction)
    ax.fill_between(x, low, high, color=shade, alpha=0.2, linewidth=0)
    ax.plot(x, middle, color=shade, linestyle=line_style(schedule))


def published(ax: Axes, value: float, schedule: Schedule) -> None:
    """The value of the paper's single run: a diamond just outside the right end of the panel."""
    if not np.isfinite(value):
        return
    ax.plot(
        PUBLISHED_AT,
        value,
        "D",
        transform=ax.get_yaxis_transform(),
        color=colour(schedule.decay_fraction),
        markersize=3.5,
        markeredgecolor="black",
        markeredgewidth=0.5,
        clip_on=False,
        zorder=5,
    )


def legend(part: Figure | SubFigure, experiment: xr.Dataset, arm: str) -> None:
    """Above the panels: what the seeds vary, and every cell with how its runs ended."""
    lines = [
        Line2D(
            [],
            [],
            color=colour(each.decay_fraction),
            linestyle=line_style(each),
            label=f"{each.label} ({outcomes(experiment, each.cell, arm)})",
        )
        for each in schedules(experiment)
    ]
    longest = max(len(str(line.get_label())) for line in lines)
    key(part, lines, ARMS[arm], columns=2 if longest <= HALF_A_PAGE else 1)


def key(part: Figure | SubFigure, entries: Sequence[Artist], title: str, columns: int) -> None:
    """A legend above the panels, under a title that heads them all; where it is too wide, in fewer columns or lines."""
    labels = [str(entry.get_label()) for entry in entries]
    for ncols, letters in [(columns, None), (1, None), (1, WHOLE_PAGE - 20), (1, HALF_A_PAGE), (1, A_COLUMN)]:
        shown = labels if letters is None else [fill(label, letters) for label in labels]
        made = part.legend(entries, shown, title=title, loc="outside upper left", ncols=ncols, alignment="left")
        # matplotlib cuts off what is wider than the figure, without a word.
        if made.get_window_extent().width <= part.get_figure(root=True).bbox.width:
            return
        made.remove()
    part.add_artist(made)


def key_of_panels(figure: Figure, title: str, columns: int) -> None:
    """One `key` of what is labelled in any panel, each label once; none where nothing is."""
    entries: dict[str, Artist] = {}
    for ax in figure.axes:
        for entry, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, entry)
    if entries:
        key(figure, list(entries.values()), title, columns)


def tint(shade: str, strength: float) -> str:
    """A colour mixed with white: 1 leaves it as it is, 0 gives white."""
    red, green, blue = (1.0 - strength * (1.0 - part) for part in to_rgb(shade))
    return to_hex((red, green, blue))


def panels_by_network(study: xr.Dataset) -> tuple[Figure, NDArray[Any], dict[str, xr.Dataset]]:
    """A figure with two panels (2, networks) for each network of a study, and what the study holds of each."""
    of_network = {str(name): study.sel(network=name) for name in study["network"].values}
    figure = Figure(figsize=(TEXT_WIDTH, 4.6))
    return figure, figure.subplots(2, len(of_network), squeeze=False), of_network


def letter(ax: Axes, index: int, title: str) -> None:
    """Title of a panel after its letter."""
    ax.set_title(f"{letters(index)}   {title}")


def letters(index: int) -> str:
    """What the panel of this index is called; after z come aa, ab and so on."""
    before, last = divmod(index, len(ascii_lowercase))
    return f"{ascii_lowercase[before - 1] if before else ''}{ascii_lowercase[last]}"


def heading(part: Figure | SubFigure, text: str) -> None:
    """What is true of all panels of a page, above them, where these are labelled one by one and need no legend."""
    part.suptitle(text, x=0.01, ha="left", fontsize=RC["legend.title_fontsize"])


def note(
    figure: Figure | SubFigure, text: str, shown: xr.Dataset | None = None, *, line_length: int = WHOLE_PAGE
) -> None:
    """Lines at the bottom of the figure that say how to read it, and what dead runs are where some are shown."""
    if shown is not None and dead(shown).any():
        text += f" {DEAD} Dead runs are not left out."
    lines = fill(text, line_length, break_on_hyphens=False)
    figure.supxlabel(lines, fontsize=RC["font.size"], color="#404040", x=0.01, ha="left")


def empty(ax: Axes, why: str = LOST) -> None:
    """Say why there is nothing in a panel."""
    ax.text(0.5, 0.5, why, transform=ax.transAxes, ha="center", va="center", bbox=BEHIND_TEXT, zorder=5)


def step_axis(ax: Axes, steps: NDArray[np.int64]) -> float:
    """Make x the training step, in thousands where the numbers are long; returns what to divide steps by."""
    thousands = steps[-1] >= 10_000
    divide_by = 1000.0 if thousands else 1.0
    ax.set_xlabel("training step (thousands)" if thousands else "training step")
    ax.set_xlim(0, steps[-1] / divide_by)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    return divide_by


def log_axis(ax: Axes) -> None:
    """Make y logarithmic once all is drawn: powers of ten, or 1, 2 and 5 where it spans few of them.

    Where nothing that is drawn is above 0 the axis stays as it is, and says so.
    """
    if not np.isfinite(ax.dataLim.minposy):
        if all(text.get_text() != LOST for text in ax.texts):
            empty(ax, NOT_POSITIVE)
        return
    for line in ax.lines:
        if line.get_marker() == "D" and np.min(line.get_ydata()) <= 0:
            # A published 0 has no place on this axis: it stands at its foot, as far below would leave panels no room.
            line.set(transform=ax.transAxes, ydata=[0.0])
    ax.set_yscale("log")
    ax.yaxis.set_minor_locator(NullLocator())
    low, high = ax.get_ylim()
    if high / low > FEW_POWERS:
        ax.yaxis.set_major_locator(LogLocator(numticks=5))
    else:
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter("{x:g}")


class Book(Figure):
    """A figure of several pages, one below the other: a part of it for each, of these heights in inches."""

    def __init__(self, heights: Sequence[float]) -> None:
        super().__init__(figsize=(TEXT_WIDTH, sum(heights)))
        self.pages: list[SubFigure] = list(self.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])


def parted(things: Sequence[Any], most: int = MOST_PANELS) -> list[Sequence[Any]]:
    """What goes on each page: at most so many, as evenly as can be."""
    count = max(1, math.ceil(len(things) / most))
    ends = [round(len(things) * number / count) for number in range(count + 1)]
    return [things[start:end] for start, end in pairwise(ends)]


def shape(panels: int) -> tuple[int, int]:
    """Rows and columns of a page for so many panels: at most three side by side, as evenly as can be."""
    rows = math.ceil(panels / MOST_COLUMNS)
    return rows, math.ceil(panels / rows)


def save(figure: Figure, png: Path, pdf: Path) -> None:
    """Write a figure as PNG, its pages below each other, and as PDF, page by page; each file in one move.

    Both files hold what `description` says as alternative text, and the PNG the heights of its pages, in pixels. The
    same figure always gives the same bytes. Raises StoreError when a file cannot be written.
    """
    text = description(figure)
    pages: Sequence[Figure | SubFigure] = figure.pages if isinstance(figure, Book) else []
    # It keeps the renderer that measures texts: without it each legend would have one made, as large as the figure.
    canvas = FigureCanvasAgg(figure)
    with house(), laid_out(figure, RC["savefig.dpi"]):
        canvas.draw()
        image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
        tops = [image.height - round(page.bbox.y1) for page in pages] or [0]
        texts = PngInfo()
        texts.add_itxt("Description", text)
        texts.add_text("Pages", " ".join(str(end - top) for top, end in pairwise([*tops, image.height])))
        with store.replacing(png) as part:
            few_colours(image).save(part, "PNG", pnginfo=texts)
        undated: dict[Any, Any] = {"CreationDate": None, "Title": pdf.stem, "Subject": text}
        with store.replacing(pdf) as part, PdfPages(part, metadata=undated) as document:
            for page in pages or [figure]:
                for other in pages:
                    other.set_visible(other is page)
                bounds = Bbox(page.bbox.get_points() / figure.dpi) if pages else None
                figure.savefig(document, format="pdf", bbox_inches=bounds)


def few_colours(image: Image.Image) -> Image.Image:
    """An image in 256 colours: a third of the bytes, and no difference to be seen."""
    few = image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    # It takes white and black for one shade less.
    few.putpalette([255 if value == 254 else 0 if value == 1 else value for value in few.getpalette() or []])
    return few


def description(figure: Figure, panels: Iterable[Axes] | None = None) -> str:
    """Alternative text: what every panel, or every one of some, is of, and the notes below them."""
    shown = figure.axes if panels is None else panels
    titled = [_panel(ax) for ax in shown if ax.get_title("left") or ax.get_title()]
    notes = dict.fromkeys(part.get_supxlabel() for part in (figure, *figure.subfigs))
    return " ".join(". ".join(filter(None, ["; ".join(titled), *notes])).split())


def _panel(ax: Axes) -> str:
    title = ax.get_title("left") or ax.get_title()
    of = " against ".join(filter(None, (ax.get_ylabel(), ax.get_xlabel())))
    return f"{title}: {of}" if of else title


@contextmanager
def laid_out(figure: Figure, dpi: float) -> Iterator[None]:
    """A context in which a figure is drawn as laid out for this resolution, once and for all.

    With a layout engine, even with the placeholder that "none" leaves, matplotlib draws once more for each file.
    """
    figure.set_dpi(dpi)
    make_room(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    with mpl.rc_context({"figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)
        yield


def make_room(figure: Figure) -> None:
    """Make a figure taller by what its legends are taller than a few lines, so that panels keep their room."""
    parts = [figure, *figure.subfigs]
    tallest = max((each.get_window_extent().height for part in parts for each in part.legends), default=0.0)
    if tallest / figure.dpi > MOST_LEGEND:
        width, height = figure.get_size_inches()
        more = tallest / figure.dpi - USUAL_LEGEND
        figure.set_size_inches(width, height + more * max(len(figure.subfigs), 1))
