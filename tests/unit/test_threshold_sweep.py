"""Thresholds are ascending in every store, and the paper's is found by its name."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from largestep.threshold_sweep import at_paper, coordinate, paper_first


@pytest.fixture
def ranks() -> xr.DataArray:
    """Ranks of two runs at three thresholds, of which the paper's is neither the first nor the last."""
    levels = coordinate("rank_threshold", [1e-4, 1e-3, 1e-6], "singular values above this count")
    return xr.DataArray([[9, 5, 2], [8, 4, 1]], {"rank_threshold": levels}, ("seed", "rank_threshold"))


def test_a_slice_holds_what_it_says(ranks: xr.DataArray) -> None:
    assert ranks.sel(rank_threshold=slice(1e-6, 1e-4))["rank_threshold"].values.tolist() == [1e-6, 1e-4]
    assert ranks.sel(rank_threshold=2e-4, method="nearest")["rank_threshold"] == 1e-4


def test_the_papers_threshold_is_selected_by_its_name(ranks: xr.DataArray) -> None:
    assert at_paper(ranks).values.tolist() == [5, 4]
    assert at_paper(ranks)["rank_threshold"] == 1e-4
    assert paper_first(ranks)["rank_threshold"].values.tolist() == [1e-4, 1e-6, 1e-3]
    assert paper_first(ranks).values.tolist() == [[5, 9, 2], [4, 8, 1]]


def test_one_threshold_is_the_papers_and_none_is_no_matter(ranks: xr.DataArray) -> None:
    assert at_paper(ranks.isel(rank_threshold=[2])).values.tolist() == [2, 1]
    assert at_paper(ranks.isel(rank_threshold=2)).values.tolist() == [2, 1]


def test_thresholds_without_the_papers_name_are_refused(ranks: xr.DataArray) -> None:
    with pytest.raises(KeyError, match="paper"):
        at_paper(ranks.assign_coords(rank_threshold=np.array([1e-6, 1e-4, 1e-3])))
