"""`python -m largestep compare` of the tiny project: identical with itself; what cannot be compared is one line."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from largestep import __main__ as commands
from largestep.machine import ProcessorError
from tests.conftest import Project


def call(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str | Path) -> int | str | None:
    """Run the command in a folder; its exit status."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["largestep", "compare", *map(str, arguments)])
    try:
        commands.main()
    except SystemExit as left:
        return left.code
    return 0


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def known(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference that the tiny project makes."""
    path = tmp_path_factory.mktemp("reference") / "reference.json"
    with pytest.MonkeyPatch.context() as patched:
        assert call(patched, finished.folder, "--write-reference", path) == 0
    return path


def test_a_run_is_identical_with_itself(
    finished: Project, known: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(finished.folder)
    assert call(monkeypatch, finished.folder, "--reference", known, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "identical"
    assert {each["verdict"] for each in (*report["cells"], *report["claims"])} == {"identical"}
    assert len(report["claims"]) == 24
    assert report["digits"]["unlike"] == {}
    assert "diagonal.decay50" in report["digits"]["same_cells"]
    assert contents(finished.folder) == before


def test_other_digits_are_named(
    finished: Project, known: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    raw = json.loads(known.read_text())
    for path, variable in (("cells/points.decay2/train.nc", "train_loss"), ("studies/sharpness.nc", "seed")):
        raw["stores"][path][variable] = "other"
    other = tmp_path / "other.json"
    other.write_text(json.dumps(raw))
    assert call(monkeypatch, finished.folder, "--reference", other) == 1
    said = capsys.readouterr().out
    assert "cells/points.decay2/train.nc is the first that does not but must, in train_loss" in said
    assert "points.decay2: agreement, statistics compared: " in said
    assert "drift: 0 of " in said


def test_a_run_of_a_part_is_compared_in_that(
    finished: Project, known: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Of the experiments that `only` names; claims are left out, and what is not in the reference is refused."""
    only = ["--config", "only=[points]"]
    project = finished.copy(tmp_path / "project")
    project.snakemake("--cores", "1", *only)
    assert call(monkeypatch, project.folder, "--reference", known, "--json", *only) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "identical"
    assert [each["name"] for each in report["cells"]] == ["points.decay2", "points.decay50"]
    assert report["claims"] == []
    assert 0 < report["digits"]["stores"] < report["digits"]["of"]
    raw = json.loads(known.read_text())
    raw["stores"] = {path: own for path, own in raw["stores"].items() if "points" not in path}
    other = tmp_path / "other.json"
    other.write_text(json.dumps(raw))
    assert call(monkeypatch, project.folder, "--reference", other, *only) == 2
    assert "has nothing of what `only` names" in capsys.readouterr().err


def test_what_cannot_be_compared_is_one_line(
    finished: Project, known: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A missing, a damaged and a stale store, a run that has only begun, and another scale."""
    project = finished.copy(tmp_path / "project")
    store = project.folder / "results/cells/points.decay2/train.nc"

    def refused(*arguments: str | Path, problem: str) -> None:
        kept, before = known.read_bytes(), contents(project.folder)
        assert call(monkeypatch, project.folder, "--reference", known, *arguments) == 2
        said = capsys.readouterr()
        assert problem in said.err
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert (known.read_bytes(), contents(project.folder)) == (kept, before)

    whole = store.read_bytes()
    store.unlink()
    where = "error: results/cells/points.decay2/train.nc: "
    refused(problem=f"{where}missing; run snakemake to its end, then compare again")
    # Nor is a reference made of such a run, and what is there stays.
    refused("--write-reference", known, problem=f"{where}missing")
    store.write_bytes(whole[: len(whole) // 2])
    refused(problem=f"{where}damaged: ")
    store.write_bytes(whole)
    project.edit("config.yaml", "decay2: {step_size: 1.0e-3", "decay2: {step_size: 2.0e-3")
    refused(problem=f"{where.replace('train', 'features')}stale: settings: train.schedule.step_size 0.001 -> 0.002")
    project.edit("config.yaml", "decay2: {step_size: 2.0e-3", "decay2: {step_size: 1.0e-3")
    refused("--config", "scale=paper", problem="is a reference of scale laptop, but this run is of paper")
    shutil.rmtree(project.folder / "results/cells")
    refused(problem="files more; run snakemake to its end, then compare again")
    refused("--config", "no=good", problem="error: ")
    refused("--write-reference", known, "--config", "only=[points]", problem="only: a reference is of all that a scale")
    refused("--results", "nowhere", problem="nowhere")


def test_a_command_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["largestep", "compares", "--json"])
    with pytest.raises(SystemExit):
        commands.main()
    assert "invalid choice: 'compares'" in capsys.readouterr().err


def test_a_processor_that_is_not_fit_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever imports the kernels raises."""

    def unfit(name: str) -> None:
        raise ProcessorError("this processor has no avx2")

    monkeypatch.setattr(sys, "argv", ["largestep", "compare"])
    monkeypatch.setattr(commands.importlib, "import_module", unfit)
    with pytest.raises(SystemExit, match=r"^error: this processor has no avx2$"):
        commands.main()
