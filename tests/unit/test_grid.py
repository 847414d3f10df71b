"""Cells and their specs: canonical, and only what a stage reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from largestep import config, grid
from largestep.keys import canonical


@pytest.fixture(scope="module")
def cells(repository: Path) -> dict[str, grid.Cell]:
    return grid.cells(config.load(repository / "config.yaml"))


def test_canonical_text() -> None:
    assert canonical({"b": 1, "a": [1.0, "é"]}) == '{"a":[1.0,"\\u00e9"],"b":1}'
    with pytest.raises(ValueError, match="Out of range"):
        canonical(float("nan"))


def test_ids_are_unique_and_safe(cells: dict[str, grid.Cell]) -> None:
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.") for name in cells)
    assert "diagonal_sgd.decay50" in cells


def test_training_does_not_depend_on_what_it_does_not_read(cells: dict[str, grid.Cell]) -> None:
    spec = cells["two_layer.small"].spec("train")
    for word in ("published", "threshold", "title", "views", "scale_", "paper"):
        assert word not in spec


def test_the_key_of_the_results_holds_titles_and_no_views(repository: Path) -> None:
    """What jobs of a cluster compare with what was planned."""
    raw = yaml.safe_load((repository / "tests/tiny/config.yaml").read_text())
    key = grid.results_key(config.parse(raw, "c"))
    raw["experiments"]["diagonal"]["views"] = ["curves"]
    assert grid.results_key(config.parse(raw, "c")) == key
    raw["experiments"]["diagonal"]["title"] = "Another"
    assert grid.results_key(config.parse(raw, "c")) != key


def test_specs_nest(cells: dict[str, grid.Cell]) -> None:
    cell = cells["digits_mlp.decay50"]
    sparsity = json.loads(cell.spec("sparsity"))
    assert canonical(sparsity["features"]) == cell.spec("features")
    assert canonical(sparsity["features"]["train"]) == cell.spec("train")
    assert canonical(sparsity["features"]["train"]["data"]) == cell.spec("data")
    with pytest.raises(ValueError, match="no stage"):
        cell.spec("nothing")


def test_specs_differ_between_cells(cells: dict[str, grid.Cell]) -> None:
    for stage in ("train", "features", "sparsity"):
        assert len({cell.spec(stage) for cell in cells.values()}) == len(cells)


def test_code_of_a_stage_includes_the_stages_before(cells: dict[str, grid.Cell]) -> None:
    cell = cells["two_layer.small"]
    chain = ("data", "train", "features", "sparsity")
    assert len({cell.code(stage) for stage in chain}) == len(chain)
