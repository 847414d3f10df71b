"""What lies on top of config.yaml: key by key, but where another kind or schedule takes the place of one below."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.cli import parse_config

from largestep import config

TINY = config.read(Path(__file__).parents[1] / "tiny/config.yaml")


@pytest.fixture
def layered(tmp_path: Path) -> Any:
    """The tiny configuration with changes of its own, a file on top and values of the command line."""

    def made(above: dict[str, Any], *values: str, below: dict[str, Any] | None = None) -> config.Config:
        raw = copy.deepcopy(TINY)
        for experiment, own in (below or {}).items():
            raw["experiments"][experiment] |= own
        files = [tmp_path / "config.yaml", tmp_path / "mine.yaml"]
        for file, content in zip(files, (raw, above), strict=True):
            file.write_text(yaml.safe_dump(content))
        return config.layered(files, parse_config(values))

    return made


def test_another_kind_of_data_keeps_no_key_of_the_one_below(layered: Any) -> None:
    above = {"experiments": {"digits": {"data": {"kind": "fashion_mnist"}}}}
    assert layered(above).experiments["digits"].data.examples is None
    same = {"experiments": {"digits": {"data": {"kind": "digits", "seed": 3}}}}
    assert layered(same).experiments["digits"].data.examples == 64


def test_another_kind_of_network_keeps_no_key_of_the_one_below(layered: Any) -> None:
    above = {"experiments": {"digits": {"model": {"kind": "mlp", "hidden": [4]}}}}
    assert layered(above).experiments["digits"].model.model_dump() == {"kind": "mlp", "hidden": [4]}


def test_a_schedule_takes_the_place_of_what_was_written_out(layered: Any) -> None:
    above = {
        "schedules": {"late": {"decays": [{"at": 0.9, "divide_by": 7.0}]}},
        "experiments": {"points": {"cells": {"decay50": {"schedule": "late"}}}},
    }
    cell = layered(above).experiments["points"].cells["decay50"]
    assert (cell.step_size, cell.warmup, cell.decays[0].divide_by) == (1e-3, None, 7.0)


@pytest.mark.parametrize(
    ("above", "kept"),
    [
        ({"cells": {"small": {"step_size": 0.2}}}, False),
        ({"data": {"examples": 9}}, False),
        ({"model": {"u": -0.1}}, False),
        ({"training": {"steps": 301}}, False),
        ({"training": {"seeds": 9}}, True),
        ({"title": "Other words"}, True),
        ({"cells": {"decay50": {"step_size": 0.1}}}, True),
        ({"cells": {"small": {"step_size": 0.2, "published": {"rank": 10, "test_loss": 1e-3, "l0": 10}}}}, True),
    ],
)
def test_published_values_stay_beside_their_own_setting_alone(above: dict[str, Any], kept: bool, layered: Any) -> None:
    small = layered({"experiments": {"diagonal": above}}).experiments["diagonal"].cells["small"]
    assert (small.published.rank == 10) == kept


def test_published_values_of_the_table_go_too(layered: Any, tmp_path: Path) -> None:
    own = {"published": {"points": {"decay2": {"rank": 3}}}}
    first = layered(own)
    assert first.experiments["points"].cells["decay2"].published.rank == 3
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({"experiments": {"points": {"cells": {"decay2": {"step_size": 1.0e-4}}}}}))
    settings = config.layered([tmp_path / "config.yaml", tmp_path / "mine.yaml", other], {})
    assert settings.experiments["points"].cells["decay2"].published.rank is None


def test_values_of_the_command_line_are_what_they_look_like(layered: Any) -> None:
    """Snakemake leaves what stands within a mapping as text."""
    settings = layered({}, "device={jobs_per_gpu: 2, kind: cpu}", "data={root: null}", "only=[points]", "scale=paper")
    assert (settings.device.jobs_per_gpu, settings.device.kind, settings.data.root) == (2, "cpu", None)
    assert (settings.only, settings.scale) == (["points"], "paper")


def test_a_value_of_the_command_line_that_is_wrong_is_named_as_such(layered: Any) -> None:
    with pytest.raises(config.ConfigError, match=r"mine\.yaml \+ --config device=\{.*\}: device\.jobs_per_gpu: "):
        layered({}, "device={jobs_per_gpu: no}")
    with pytest.raises(config.ConfigError, match=r"config\.yaml \+ .*mine\.yaml: experiments\.points: "):
        layered({"experiments": {"points": []}})
