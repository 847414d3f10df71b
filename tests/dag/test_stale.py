"""Results that are not what the configuration asks for: refused by the next stage, and listed by `make verify`."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import netCDF4
import pytest

from largestep import store
from tests.conftest import Project
from tests.dag.test_reruns import AGGREGATES, SPEC, chain, studies

COUNTS = re.compile(
    r"(\d+) of (\d+) files are fresh; (\d+) missing, (\d+) stale, (\d+) damaged, (\d+) foreign, (\d+) unchecked, "
    r"(\d+) left over"
)


def verify(project: Project, *arguments: str) -> tuple[int, list[str], list[int]]:
    """Exit status, lines without the last, and the counts of the last."""
    done = project.stage("verify", *arguments)
    *lines, last = done.stdout.splitlines() or [""]
    counts = COUNTS.fullmatch(last)
    if counts is None:
        pytest.fail(f"{done.stdout}{done.stderr}")
    return done.returncode, lines, [int(count) for count in counts.groups()]


def made_with(path: Path, library: str, version: str) -> None:
    """Have a store say that it was made with another version of a library, its checksum included, as of its time."""
    attributes, time = {f"version_{library}": version}, path.stat().st_mtime
    seal = store.content_digest(store.read(path).assign_attrs(attributes))
    with netCDF4.Dataset(path, "a") as file:
        file.setncatts(attributes | {"content_sha256": seal})
    os.utime(path, (time, time))


def log(project: Project, name: str) -> str:
    return (project.folder / f"results/logs/{name}.log").read_text()


def test_what_is_wrong_with_each_file_is_said_in_a_line(project: Project) -> None:
    results = project.folder / "results"
    cells = results / "cells"
    project.edit("config.yaml", "small: {step_size: 0.1, published", "small: {step_size: 0.11, published")
    project.edit("config.yaml", "starts: 10", "starts: 11")
    project.append("src/largestep/sparsity.py", "UNUSED = 1\n")
    (cells / "points.decay2/train.nc").unlink()
    content = bytearray((cells / "points.decay50/features.nc").read_bytes())
    # A single byte may lie where the file holds nothing.
    for place in range(len(content) // 3, 2 * len(content) // 3):
        content[place] ^= 1
    (cells / "points.decay50/features.nc").write_bytes(content)
    shutil.copy(cells / "teacher.small/features.nc", cells / "digits.small/features.nc")
    (results / "data/teacher.nc").write_bytes(b"")
    (results / "images/digits.safetensors").write_bytes((results / "images/digits.safetensors").read_bytes()[:-1])
    made_with(cells / "diagonal.decay50/train.nc", "numpy", "1.0")
    shutil.copytree(cells / "teacher.small", cells / "teacher.gone")
    shutil.copytree(cells / "digits.small", cells / "later.small")
    (cells / "teacher.small/.train.nc.host.123.part").write_bytes(b"")
    (results / "claims.csv.refused-2").write_bytes(b"")
    (results / "figures/flows.png").unlink()
    (results / "tables/points.md").write_text("no table")
    (results / "claims.csv").unlink()
    (results / "checkpoints/digits.small.0-1").mkdir(parents=True)

    status, lines, counts = verify(project)
    fault = dict(line.removeprefix("results/").split(": ", 1) for line in lines)
    assert status == 1
    for name in ("train", "snapshots"):
        assert fault[f"cells/diagonal.small/{name}.nc"] == "stale: settings: schedule.step_size 0.1 -> 0.11"
    assert fault["cells/diagonal.small/sparsity.nc"] == (
        "stale: settings: features.train.schedule.step_size 0.1 -> 0.11"
    )
    assert fault["cells/diagonal.decay50/sparsity.nc"] == "stale: code of stage sparsity"
    assert "cells/diagonal.decay50/features.nc" not in fault
    assert re.fullmatch(r"stale: libraries: made with numpy 1\.0, now [\d.]+", fault["cells/diagonal.decay50/train.nc"])
    assert fault["cells/points.decay2/train.nc"] == "missing: the next run makes it"
    assert fault["cells/points.decay50/features.nc"].startswith("damaged: ")
    assert fault["cells/digits.small/features.nc"] == "foreign: it is of cell teacher.small"
    assert fault["data/teacher.nc"].startswith("damaged: is not a readable NetCDF file")
    assert fault["images/digits.safetensors"].startswith("damaged: is not a readable image data set")
    assert fault["cells/teacher.gone/train.nc"] == "left over: the configuration does not ask for it"
    for name in ("train.nc", "seeds/0-1/train.nc"):
        assert fault[f"cells/later.small/{name}"] == "left over: of scale paper"
    assert fault["cells/teacher.small/.train.nc.host.123.part"] == "left over: by a job that was killed"
    assert fault["claims.csv.refused-2"] == "left over: set aside"
    assert fault["checkpoints/digits.small.0-1"] == "left over: no training continues from it"
    assert fault["studies/bouncing.nc"] == "stale: settings: settings.starts 10 -> 11"
    assert fault["specs/aggregate.json"] == "stale: other settings"
    assert fault["largestep.nc"].startswith("stale: settings: experiments.diagonal.cells.small.schedule.step_size")
    assert fault["figures/flows.png"] == "missing: the next run makes it"
    assert fault["figures/bouncing.png"] == "unchecked: studies/bouncing.nc is not fresh"
    assert fault["claims.csv"] == "missing: the next run makes it"
    assert fault["figures/scorecard.png"] == "unchecked: claims.csv is not fresh"
    assert fault["tables/points.md"] == "unchecked: largestep.nc is not fresh"
    assert "figures/phase_diagram.png" not in fault
    fresh, files, *faults = counts
    kinds = ("missing", "stale", "damaged", "foreign", "unchecked", "left over")
    assert faults == [sum(why.split(":")[0] == kind for why in fault.values()) for kind in kinds]
    assert fresh == files - sum(faults[:-1])


def test_tables_and_figures_are_compared_with_what_is_made_today(project: Project) -> None:
    """All is fresh after a run, without the records of Snakemake too, but for what is changed here."""
    results = project.folder / "results"
    shutil.rmtree(project.folder / ".snakemake")
    (results / "tables/points.md").write_text("no table")
    claims = results / "claims.csv"
    claims.write_text(claims.read_text().replace("undecided", "refuted", 1))
    project.edit("src/largestep/figures/phase_diagram.py", "decay (% of training)", "decay in % of training")
    status, lines, (fresh, files, *faults) = verify(project)
    assert status == 1
    assert files == fresh + sum(faults) > 100
    assert lines == [
        "results/claims.csv: stale: not what claims makes today of largestep.nc",
        *(
            f"results/figures/phase_diagram.{kind}: stale: not what figures makes today of studies/phase_diagram.nc"
            for kind in ("pdf", "png")
        ),
        *(f"results/figures/scorecard.{kind}: unchecked: claims.csv is not fresh" for kind in ("pdf", "png")),
        "results/tables/points.md: stale: not what tables makes today of largestep.nc",
    ]
    assert verify(project, "--stores")[0] == 0
    claims.unlink()
    assert verify(project, "--stores")[1] == ["results/claims.csv: missing: the next run makes it"]


def test_aggregate_of_other_stores_is_found(project: Project) -> None:
    """The same settings and code, but another content: a run on another machine, say."""
    path = project.folder / "results/cells/points.decay2/train.nc"
    with netCDF4.Dataset(path, "a") as file:
        file["train_loss"][0, 0, 0] += 1.0
    seal = store.content_digest(store.xr.load_dataset(path))
    with netCDF4.Dataset(path, "a") as file:
        file.content_sha256 = seal
    _, lines, _ = verify(project, "--stores")
    assert lines == ["results/largestep.nc: stale: made from other stores than there are now of points"]


def test_values_on_the_command_line_lie_on_top_of_the_configuration(project: Project) -> None:
    status, lines, _ = verify(project, "--stores", "--config", "scale=paper")
    assert status == 1
    assert "results/cells/later.small/train.nc: missing: the next run makes it" in lines


def test_records_lost_and_nothing_edited_reruns_nothing(project: Project) -> None:
    shutil.rmtree(project.folder / ".snakemake")
    assert project.planned() == set()


def test_records_lost_and_a_cell_edited(project: Project) -> None:
    """Snakemake cannot know which stores are stale; the aggregate is made again all the same, and refuses them."""
    shutil.rmtree(project.folder / ".snakemake")
    project.edit("config.yaml", "small: {step_size: 0.1, published", "small: {step_size: 0.11, published")
    planned = project.planned()
    assert planned == AGGREGATES
    project.snakemake("--cores", "2", check=False)
    assert "specs/aggregate.json: is stale" in log(project, "aggregate")
    assert not (project.folder / "results/largestep.nc").exists()
    # All that is stale is set aside at once, and the next run makes just that.
    verify(project, "--stores", "--set-aside")
    assert project.planned() == chain("diagonal.small") | studies("label_noise") | SPEC | AGGREGATES


def test_store_of_another_cell_is_refused_and_named(project: Project) -> None:
    cells = project.folder / "results/cells"
    shutil.copy(cells / "diagonal.small/features.nc", cells / "diagonal.decay50/features.nc")
    assert verify(project, "--stores")[1] == [
        "results/cells/diagonal.decay50/features.nc: foreign: it is of cell diagonal.small"
    ]
    target = "results/cells/diagonal.decay50/sparsity.nc"
    project.snakemake("--cores", "1", "--force", target, check=False)
    assert re.fullmatch(
        r"error: results/cells/diagonal.decay50/features.nc: belongs to diagonal.small; [^\n]*\n",
        log(project, "sparsity/diagonal.decay50"),
    )
    # It was set aside, so a plain run makes it anew.
    assert ("features", "diagonal.decay50") in project.planned()


def test_library_upgraded(project: Project) -> None:
    """A plan reruns nothing by itself; a stage that would mix two versions refuses, and says what makes all anew."""
    path = project.folder / "results/data/diagonal.nc"
    right = store.read(path).attrs["content_sha256"]
    made_with(path, "numba", "0.1")
    assert project.planned() == set()
    project.snakemake("--cores", "1", "--force", "results/cells/diagonal.small/train.nc", check=False)
    assert re.fullmatch(
        r"error: results/data/diagonal.nc: was made with numba 0\.1, but [\d.]+ is installed; delete it, or all such "
        r"files with python -m largestep verify --set-aside, and run again\n",
        log(project, "train/diagonal.small"),
    )
    (line, moved) = (line for line in verify(project, "--stores", "--set-aside")[1] if "diagonal.nc" in line)
    assert line.startswith("results/data/diagonal.nc: stale: libraries: made with numba 0.1, now")
    assert moved == "    run again to make it anew; it is kept as diagonal.nc.refused"
    assert {("data", "diagonal"), ("train", "diagonal.small")} <= project.planned()
    project.snakemake("--cores", "1", "results/data/diagonal.nc")
    assert store.read(path).attrs["content_sha256"] == right
