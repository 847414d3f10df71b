"""What a drawn figure says, and whether it can be read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from matplotlib.figure import Figure, SubFigure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from largestep.figures import column, style


def texts(figure: Figure) -> list[Text]:
    """Everything written in it that is not hidden."""
    return [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text() and text.get_visible()]


def said(figure: Figure) -> str:
    """All of it on one line."""
    return " ".join(" ".join(text.get_text() for text in texts(figure)).split())


def check_legible(figure: Figure) -> None:
    """At most 2 x 3 panels a page; nothing below 7 points, off the page, without labels, or without its letter."""
    with style.house():
        figure.draw_without_rendering()
    for part in figure.pages if isinstance(figure, style.Book) else [figure]:
        grids = [spec.get_gridspec() for ax in part.axes if (spec := ax.get_subplotspec()) is not None]
        assert len(grids) <= style.MOST_PANELS
        assert max(grid.ncols for grid in grids) <= style.MOST_COLUMNS
        for legend in part.legends:
            assert legend.get_window_extent().width <= figure.bbox.width
    for text in texts(figure):
        assert text.get_fontsize() >= 7, text
    for ax in figure.axes:
        assert ax.get_xlabel() or not ax.xaxis.get_tick_params()["labelbottom"]
        assert ax.get_ylabel() or not ax.yaxis.get_tick_params()["labelleft"]
        for text in filter(Text.get_text, (ax.xaxis.label, ax.yaxis.label, ax.title, *ax.texts)):
            box = text.get_window_extent()
            assert min(box.x0, box.y0) >= -1, text
            assert box.x1 <= figure.bbox.x1 + 1, text
            assert box.y1 <= figure.bbox.y1 + 1, text
    letters = [ax.get_title(loc="left")[0] for ax in figure.axes]
    assert letters == [chr(ord("a") + index) for index in range(len(letters))]


def check_column(figure: Figure, letters: Sequence[str] = ()) -> list[list[str]]:
    """Lay a figure out for a column, and check each page; gives the letters of the panels of each.

    Text to be read in print, and nothing that overlaps, is cut off, or lacks the numbers or the label of its axes.
    """
    shown = []
    with style.house():
        for bounds in column.pages(figure, letters):
            part: Figure | SubFigure = figure.subfigs[0] if figure.subfigs else figure
            page = figure.bbox if bounds is None else Bbox(bounds.get_points() * figure.dpi)
            assert abs(page.width / figure.dpi - column.WIDTH) < 0.01
            assert page.height < 10 * figure.dpi
            panels = {letter: ax for letter, ax in column.panels(figure).items() if ax.get_visible()}
            around = [*part.legends, *(text for text in (part._suptitle, part._supxlabel) if text and text.get_text())]
            boxes = {letter: ax.get_tightbbox() for letter, ax in panels.items()}
            boxes |= {str(each): each.get_window_extent() for each in around}
            for name, box in boxes.items():
                assert min(box.x0 - page.x0, box.y0 - page.y0, page.x1 - box.x1, page.y1 - box.y1) > -1, name
            for one, other in itertools.combinations(boxes, 2):
                assert not Bbox.intersection(boxes[one].padded(-1), boxes[other].padded(-1)), (one, other)
            written = [text for each in (*panels.values(), *around) for text in each.findobj(Text)]
            assert min(text.get_fontsize() for text in written if text.get_text().strip()) >= 7
            assert part.get_supxlabel()
            for ax in panels.values():
                assert ax.get_xlabel() or not ax.xaxis.get_tick_params()["labelbottom"]
                assert ax.get_ylabel() or not ax.yaxis.get_tick_params()["labelleft"]
            shown.append([*panels])
    assert all(0 < len(page) <= column.MOST_PANELS for page in shown)
    return shown
