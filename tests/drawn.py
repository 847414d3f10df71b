"""What a drawn figure says, and whether it can be read."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.text import Text

from largestep.figures import style


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
