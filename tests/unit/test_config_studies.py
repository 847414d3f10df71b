"""Bad settings of studies: one line that names the study and says what does not fit."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from largestep import config

TINY = config.read(Path(__file__).parents[1] / "tiny/config.yaml")


def put(raw: dict[str, Any], path: str, value: object) -> None:
    *parents, last = path.split(".")
    for key in parents:
        raw = raw[key]
    raw[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("studies.flows.pairs", 7, "studies.flows.*pairs 7 exceeds seeds 6"),
        ("studies.flows.cell", "nothing", "studies.flows: experiment diagonal has no cell nothing"),
        ("studies.flows.experiment", "digits", "studies.flows: needs a model of kind"),
        ("studies.flows.experiment", "later", "studies.flows: scale laptop does not include experiment later"),
        (
            "studies.controls.sweeps.order.sampling",
            ["cyclic", "cyclic"],
            "sampling lists a value twice",
        ),
        ("studies.controls.sweeps.order.momentum", [0.0, 0.5], "varies sampling and momentum"),
        ("studies.controls.experiment", "absent", "studies.controls: there is no experiment absent"),
        ("studies.bouncing.starts", "many", "studies.bouncing.starts: "),
        ("studies.bouncing.start", 3, "studies.bouncing.start: unknown key"),
        ("experiments.diagonal.training.label_noise", 0.1, "studies.*label_noise"),
    ],
)
def test_settings_that_do_not_fit(path: str, value: object, message: str) -> None:
    raw = copy.deepcopy(TINY)
    put(raw, path, value)
    with pytest.raises(config.ConfigError, match=message) as caught:
        config.parse(raw, source="config.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["scorecard", "diagonal", "diagonal_curves"])
def test_names_that_are_taken(name: str) -> None:
    raw = copy.deepcopy(TINY)
    raw["studies"][name] = raw["studies"]["bouncing"]
    with pytest.raises(config.ConfigError, match=f"studies.{name}: .* has this name; rename the study"):
        config.parse(raw, source="config.yaml")


def test_seeds_that_nothing_tells_apart() -> None:
    raw = copy.deepcopy(TINY)
    raw["experiments"]["full"] = copy.deepcopy(raw["experiments"]["diagonal"])
    raw["experiments"]["full"]["training"] |= {"batch_size": "full", "arms": ["data"]}
    raw["studies"]["controls"] |= {"experiment": "full", "arm": "order", "sweeps": {"one": {"decay_at": [0.2, 0.5]}}}
    with pytest.raises(config.ConfigError, match="arm: full-batch runs of a diagonal network"):
        config.parse(raw, source="config.yaml")


@pytest.mark.parametrize("study", ["loss_slice", "sde_convergence"])
def test_a_network_whose_predictor_is_not_known_is_refused_by_its_kind(study: str) -> None:
    raw = copy.deepcopy(TINY)
    raw["studies"][study]["model"] = raw["experiments"]["points"]["model"]
    with pytest.raises(config.ConfigError) as refused:
        config.parse(raw, "config.yaml")
    assert str(refused.value) == (
        f"config.yaml: studies.{study}.model: must be a diagonal network: its predictor and its start are known; "
        "dense has neither"
    )
