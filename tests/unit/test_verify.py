"""What verification says of settings that differ, and the configuration that it goes by."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import yaml

from largestep import config, grid, verify


def test_settings_that_differ_are_named_with_both_values() -> None:
    old = {"a": {"b": 1, "c": [1, 2]}, "d": 0.1, "gone": True}
    new = {"a": {"b": 2, "c": [1, 2]}, "d": 0.1, "new": None, "e": "x"}
    assert list(verify.differences(old, new)) == [("a.b", 1, 2), ("e", None, "x"), ("gone", True, None)]
    assert verify.described(old, new) == 'a.b 1 -> 2, e null -> "x", gone true -> null'


def test_many_differences_stay_one_short_line() -> None:
    text = verify.described({}, {str(index): "x" * 500 for index in range(50)})
    assert text.endswith(" and 47 more")
    assert len(text) < 200


def test_files_and_values_lie_on_top_of_the_configuration(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository / "tests/tiny")
    above = tmp_path / "above.yaml"
    above.write_text(yaml.safe_dump({"experiments": {"points": {"training": {"seeds": 9}}}}))
    settings = verify.configuration([above], ["scale=paper", "only=[points]"])
    assert settings.experiments["points"].training.seeds == 9
    assert settings.experiments["points"].training.snapshots == 3
    assert list(grid.cells(settings)) == ["points.decay2", "points.decay50"]


@pytest.mark.parametrize(
    ("value", "message"),
    [("scale", "must be KEY=VALUE"), ("only=[", r"only=\[: only: must be a list, such as \[a, b\]")],
)
def test_bad_values_are_refused(value: str, message: str) -> None:
    with pytest.raises(config.ConfigError, match=message):
        verify.configuration([], [value])


@pytest.mark.parametrize("status", [1, 2])
def test_a_command_ends_where_its_configuration_cannot_be_read(status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """With the exit status that it has for that, and one line."""
    options = argparse.Namespace(configfile=[Path("nowhere.yaml")], config=[])
    with pytest.raises(SystemExit) as ended:
        verify.configured(options, failed=status)
    assert ended.value.code == status
    assert capsys.readouterr().err == "error: nowhere.yaml: cannot be read: No such file or directory\n"


def test_the_configuration_beside_the_workflow_serves_folders_that_have_none(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.base_file(repository).resolve() == repository / "config.yaml"
    (tmp_path / "config.yaml").write_text("")
    assert config.base_file(repository) == Path("config.yaml")


def test_every_output_of_the_workflow_is_expected(repository: Path) -> None:
    """Each rule's outputs, by their folder and ending, but what has no provenance: logs and benchmarks."""
    settings = config.load(repository / "tests/tiny/config.yaml")
    stores = {each.path for each in verify.expected(settings)}
    made = {file for product in verify.products(settings) for file in product.files}
    assert {"cells/digits.small/sparsity.nc", "data/points.nc", "images/digits.safetensors"} <= stores
    assert {"studies/flows.nc", "cells/points.decay2/snapshots.nc"} <= stores
    assert {"tables/teacher.tex", "summary.rst", "figures/scorecard.pdf", "figures/loss_slice.gif"} <= made
    assert {f"figures/digits_{view}.png" for view in ("blocks", "filters", "distances")} <= made


def test_what_is_found_can_be_read_by_programs(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository / "tests/tiny")
    (tmp_path / "largestep.nc").write_bytes(b"damaged")
    arguments = ["--results", str(tmp_path), "--config", "only=[points, flows]", "--stores", "--set-aside", "--json"]
    monkeypatch.setattr("sys.argv", ["verify", *arguments])
    with pytest.raises(SystemExit) as ended:
        verify.main()
    said = json.loads(capsys.readouterr().out)
    by_path = {each["path"]: each for each in said["findings"]}
    assert ended.value.code == 1
    assert (said["fresh"], by_path["studies/flows.nc"]["fault"]) == (0, "missing")
    assert by_path["largestep.nc"]["fault"] == "damaged"
    assert by_path["largestep.nc"]["aside"].endswith("largestep.nc.refused")
    assert (tmp_path / "largestep.nc.refused").exists()
