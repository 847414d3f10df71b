"""Figures for one column: on every page text to be read in print; nothing overlaps, is cut or lacks a label."""

from __future__ import annotations

import pytest

from largestep import stages
from largestep.figures import column
from tests.drawn import check_column
from tests.unit.test_figures import made_up

VIEWS = {
    "curves": ("diagonal", ("order",)),
    "fits": ("regression_1d", ("data",)),
    "neurons": ("two_layer", ("data",)),
    "schedules": ("diagonal", ("data",)),
}


@pytest.mark.parametrize("view", VIEWS)
def test_every_page_can_be_read_in_a_column(view: str) -> None:
    kind, arms = VIEWS[view]
    figure = stages.worker("figures", view).draw(made_up(kind, arms=arms))
    letters = list(column.panels(figure))
    pages = check_column(figure)
    assert [letter for page in pages for letter in page] == letters
    # Also those that share an axis with a panel which is on another page now.
    for ax in column.panels(figure).values():
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        assert ax.xaxis.get_tick_params()["labelbottom"]
        assert ax.yaxis.get_tick_params()["labelleft"]
    keyed = [part for part in figure.subfigs or [figure] if part.legends]
    assert keyed


def test_panels_can_be_chosen_and_keep_their_letters() -> None:
    figure = stages.worker("figures", "curves").draw(made_up("diagonal"))
    assert check_column(figure, ["b", "d", "f"]) == [["b", "d"], ["f"]]
