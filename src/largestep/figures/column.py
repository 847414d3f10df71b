"""A figure laid out again for one column of a page: its panels below each other, under their key and above the note."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure, SubFigure
from matplotlib.legend import Legend
from matplotlib.transforms import Bbox

from largestep import store
from largestep.figures import style

# Inches: a column of a page of two, whose text is `style.TEXT_WIDTH` wide.
WIDTH = 3.4
# Panels of a page.
MOST_PANELS = 3
# Characters of a line of notes, of a heading and of a panel's title.
OF_NOTE, OF_HEADING, OF_TITLE = 62, 54, 46
# Inches: a line of notes or of a heading, and what parts panels.
LINE, APART = 0.125, 0.08
# Of an axis: which of its labels a neighbour may have for both.
SIDES = {"x": "labelbottom", "y": "labelleft"}

Part = Figure | SubFigure


def panels(figure: Figure) -> dict[str, Axes]:
    """The panels of a figure, by their letters."""
    titles = {ax: ax.get_title(loc=_side(ax)).partition("   ") for ax in figure.axes}
    return {letter: ax for ax, (letter, parted, _) in titles.items() if parted}


def save(figure: Figure, pdf: Path, letters: Sequence[str] = ()) -> int:
    """Write `pages` of a figure as one PDF; returns how many. Raises StoreError when the file cannot be written."""
    described = style.description(figure, [panels(figure)[letter] for letter in letters] or None)
    metadata: dict[Any, Any] = {"CreationDate": None, "Title": pdf.stem, "Subject": described}
    count = 0
    with style.house(), store.replacing(pdf) as path, PdfPages(path, metadata=metadata) as document:
        for bounds in pages(figure, letters):
            figure.savefig(document, format="pdf", bbox_inches=bounds)
            count += 1
    return count


def pages(figure: Figure, letters: Sequence[str] = ()) -> Iterator[Bbox | None]:
    """Lay out a figure, as its view draws it, page after page, with its panels or those of some letters.

    Gives where the page lies on the figure, in inches, or None where it is all of it. It has the heading, the key and
    the note of the panels' own page, and a panel is as high as there. Afterwards the figure is fit for nothing else.
    """
    named = panels(figure)
    asked = [named[letter] for letter in letters or named]
    # It keeps one renderer to measure all texts.
    FigureCanvasAgg(figure)
    _lay_out(figure)
    _complete(list(named.values()))
    heights = {ax: (ax.bbox.height / figure.dpi, _tall(ax) / figure.dpi) for ax in asked}
    for part in _narrowed(figure):
        own = [ax for ax in asked if ax in part.axes]
        for group in style.parted(own, MOST_PANELS) if own else []:
            yield _page(figure, part, group, heights)


def _lay_out(figure: Figure) -> None:
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


def _tall(ax: Axes) -> float:
    box = ax.get_tightbbox()
    return ax.bbox.height if box is None else box.height


def _complete(shown: Sequence[Axes]) -> None:
    """Give every panel what one beside or below it has for both: the label of an axis, and its numbers."""
    places = {ax: spec for ax in shown if (spec := ax.get_subplotspec()) is not None}
    for name, side in SIDES.items():
        labels = {ax: getattr(ax, f"get_{name}label")() for ax in places}
        numbered = {ax: bool(getattr(ax, f"{name}axis").get_tick_params()[side]) for ax in places}
        shared = next(iter(places)).get_shared_x_axes() if name == "x" else next(iter(places)).get_shared_y_axes()
        for ax, spec in places.items():
            line, across = ("colspan", "rowspan") if name == "x" else ("rowspan", "colspan")
            others = {
                other: abs(getattr(place, across).start - getattr(spec, across).start)
                for other, place in places.items()
                if place.get_gridspec() is spec.get_gridspec()
                and (getattr(place, line).start == getattr(spec, line).start or shared.joined(ax, other))
            }
            near = sorted(others, key=others.__getitem__)
            getattr(ax, f"set_{name}label")(next(filter(None, (labels[other] for other in near)), ""))
            getattr(ax, f"{name}axis").set_tick_params(**{side: any(numbered[other] for other in near)})


def _narrowed(figure: Figure) -> list[Part]:
    """The pages of a figure, or the figure itself, with what stands around the panels made for `WIDTH`."""
    parts: list[Part] = [*figure.subfigs] or [figure]
    _, height = figure.get_size_inches()
    figure.set_size_inches(WIDTH, height)
    text = figure.get_supxlabel()
    keys = _taken(figure.legends)
    if figure.subfigs:
        figure.supxlabel("")
    for part in parts:
        style.note(part, " ".join((part.get_supxlabel() or text).split()), line_length=OF_NOTE)
        if part.get_suptitle():
            style.heading(part, fill(part.get_suptitle(), OF_HEADING))
        for entries, title in [*keys, *_taken(part.legends)]:
            style.key(part, entries, fill(title, OF_HEADING), columns=2)
    for ax in figure.axes:
        lines = ax.get_title(loc=_side(ax)).splitlines()
        ax.set_title("\n".join(fill(line, OF_TITLE, drop_whitespace=False) for line in lines), loc=_side(ax))
    return parts


def _side(ax: Axes) -> Literal["left", "center"]:
    """Where the title of a panel stands: mplot3d has its own place for it."""
    return "left" if ax.get_title(loc="left") else "center"


def _taken(legends: Iterable[Legend]) -> list[tuple[list[Artist], str]]:
    """The entries and the title of each of these legends, which are removed."""
    taken = []
    for legend in list(legends):
        entries = [entry for entry in legend.legend_handles if entry is not None]
        for entry, text in zip(entries, legend.get_texts(), strict=True):
            entry.set_label(" ".join(text.get_text().split()))
        taken.append((entries, legend.get_title().get_text()))
        legend.remove()
    return taken


def _page(figure: Figure, part: Part, group: Sequence[Axes], heights: dict[Axes, tuple[float, float]]) -> Bbox | None:
    """Lay out one page with these panels alone; returns where it lies on the figure, in inches, unless it is all of it.

    heights: of each panel in inches, without and with what stands around it.
    """
    for ax in figure.axes:
        ax.set_visible(False)
        ax.set_in_layout(False)
    grid = part.add_gridspec(len(group), 1, height_ratios=[heights[ax][0] for ax in group])
    for place, ax in enumerate(group):
        ax.set_subplotspec(grid[place])
        for each in (ax, *_colour_bars(ax)):
            each.set_visible(True)
            each.set_in_layout(True)
    lines = sum(len(text.splitlines()) for text in (part.get_supxlabel(), part.get_suptitle()))
    keys = sum(legend.get_window_extent().height for legend in part.legends) / figure.dpi
    needed = sum(heights[ax][1] + APART for ax in group) + keys + LINE * (lines + 1)
    share = part.bbox.height / figure.bbox.height
    if isinstance(part, SubFigure):
        figure.subfigs = [part]
    figure.set_size_inches(WIDTH, needed / share)
    _lay_out(figure)
    return Bbox(part.bbox.get_points() / figure.dpi) if isinstance(part, SubFigure) else None


def _colour_bars(ax: Axes) -> list[Axes]:
    mappables = [child for child in ax.get_children() if isinstance(child, ScalarMappable)]
    return [each.colorbar.ax for each in mappables if each.colorbar is not None]
