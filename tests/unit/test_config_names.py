"""What is written once and named means the same as what is written out, and errors name the key as it was written."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from largestep import config, grid
from largestep.config.overlays import lay

TINY = config.read(Path(__file__).parents[1] / "tiny/config.yaml")
PUBLISHED = {"test_loss": 1.0e-3, "rank": 10, "l0": 10}


def named() -> dict[str, Any]:
    """The tiny configuration with names for what two experiments hold; tests may change it."""
    raw = copy.deepcopy(TINY)
    diagonal, points = raw["experiments"]["diagonal"], raw["experiments"]["points"]
    raw["measures"] = {"linear": diagonal.pop("measures"), "dense": points.pop("measures")}
    raw["schedules"] = {
        "halved": {"decays": diagonal["cells"]["decay50"].pop("decays")},
        "warmed": {key: points["cells"]["decay50"].pop(key) for key in ("warmup", "decays")},
    }
    diagonal |= {"measures": {"like": "linear"}}
    points |= {"measures": {"like": "dense"}}
    diagonal["cells"]["decay50"] |= {"schedule": "halved"}
    points["cells"]["decay50"] |= {"schedule": "warmed"}
    raw["published"] = {"diagonal": {"small": diagonal["cells"]["small"].pop("published")}}
    return raw


def specs(raw: dict[str, Any]) -> dict[str, str]:
    """The canonical settings of every cell and study, and of the aggregate."""
    parsed = config.parse(raw, source="config.yaml")
    cells = {name: cell.spec("sparsity") for name, cell in grid.cells(parsed).items()}
    studies = {name: grid.study_spec(parsed, name) for name in parsed.studies}
    return cells | studies | {"aggregate": grid.aggregate_spec(parsed)}


def changed(overlay: dict[str, Any]) -> set[str]:
    """What depends on an overlay, laid on top as Snakemake does; the aggregate always does."""
    raw = named()
    before = specs(copy.deepcopy(raw))
    lay(raw, overlay)
    after = specs(raw)
    return {name for name in before if before[name] != after[name]} - {"aggregate"}


def test_names_mean_what_they_stand_for() -> None:
    assert specs(named()) == specs(copy.deepcopy(TINY))


def test_an_overlay_of_a_cell_changes_that_cell_alone() -> None:
    for own in ({"step_size": 2e-3}, {"decays": [{"at": 0.6, "divide_by": 2.0}]}, {"schedule": "halved"}):
        assert changed({"experiments": {"points": {"cells": {"decay50": own}}}}) == {
            "points.decay50",
            "batch_sharpness",
        }
    assert changed({"published": {"diagonal": {"small": {"rank": 11}}}}) == set()


def test_an_overlay_of_a_name_changes_what_names_it() -> None:
    assert changed({"schedules": {"warmed": {"warmup": {"factor": 3.0}}}}) == {"points.decay50", "batch_sharpness"}
    assert changed({"measures": {"dense": {"rank_thresholds": [1e-3]}}}) == {"points.decay2", "points.decay50"}
    assert changed({"measures": {"unused": {}}, "schedules": {"unused": {}}}) == set()


def test_an_overlay_of_a_threshold_leaves_the_others() -> None:
    raw = named()
    before = config.parse(copy.deepcopy(raw), source="config.yaml").experiments["points"].measures
    assert before.normalise_activations
    lay(raw, {"experiments": {"points": {"measures": {"correlation_thresholds": [0.5]}}}})
    after = config.parse(raw, source="config.yaml").experiments["points"].measures
    assert after == before.model_copy(update={"correlation_thresholds": [0.5]})


def test_what_stands_beside_a_name_takes_its_place() -> None:
    raw = named()
    raw["experiments"]["points"]["cells"]["decay50"] |= {"warmup": None}
    cell = config.parse(raw, source="config.yaml").experiments["points"].cells["decay50"]
    assert cell.warmup is None
    assert cell.decays[0].at == 0.5


def cell(raw: dict[str, Any]) -> dict[str, Any]:
    settings = raw["experiments"]["diagonal"]["cells"]["decay50"]
    assert isinstance(settings, dict)
    return settings


BROKEN: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (
        lambda c: cell(c).update(schedule="halve"),
        "experiments.diagonal.cells.decay50: schedules has no halve; there is halved, warmed",
    ),
    (lambda c: cell(c).update(schedule=["halved"]), "experiments.diagonal.cells.decay50.schedule: input should be a"),
    (
        lambda c: cell(c).update(annealing="cosine"),
        "experiments.diagonal.cells.decay50: annealing and decays exclude each other",
    ),
    (
        lambda c: c["experiments"]["points"].update(measures={"like": "dens"}),
        "experiments.points.measures: measures has no dens; there is dense, linear",
    ),
    (
        lambda c: c["experiments"]["points"].update(measures={"rank_threshold": []}),
        "experiments.points.measures.rank_threshold: unknown key",
    ),
    (
        lambda c: c["schedules"]["halved"].update(decay=[]),
        "schedules.halved.decay: unknown key; check its spelling",
    ),
    (
        lambda c: c["schedules"]["warmed"]["warmup"].update(factor=-1.0),
        "schedules.warmed.warmup.factor: input should be greater than 1 (given: -1.0)",
    ),
    (
        lambda c: c["schedules"]["warmed"].update(decays=[]),
        "schedules.warmed: warmup lasts until the first decay",
    ),
    (
        lambda c: c["measures"]["dense"].update(rank_thresholds=[0.0]),
        "measures.dense.rank_thresholds.0: input should",
    ),
    (lambda c: c["published"].update(diag={}), "published.diag: there is no experiment diag"),
    (
        lambda c: c["published"]["diagonal"].update(decay90=PUBLISHED),
        "published.diagonal.decay90: experiment diagonal has no cell decay90",
    ),
    (
        lambda c: cell(c).update(published=PUBLISHED) or c["published"]["diagonal"].update(decay50=PUBLISHED),
        "published.diagonal.decay50: the cell itself has published values; keep one of them",
    ),
    (
        lambda c: c["published"].update(points={"decay2": {"l0": 3}}),
        "published.points.decay2: l0 cannot be compared: a dense model on points data has no l0",
    ),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_errors_name_the_key_as_it_was_written(change: Callable[[dict[str, Any]], object], message: str) -> None:
    raw = named()
    change(raw)
    with pytest.raises(config.ConfigError) as caught:
        config.parse(raw, source="config.yaml")
    assert str(caught.value).startswith(f"config.yaml: {message}")
    assert "more)" not in str(caught.value)
