"""A user's own network and images, those of docs/extending.md, join by their dotted names, and count like our code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from tests.conftest import REPOSITORY, Project, make_project

# One process runs all of them, on the one project that it trains.
pytestmark = pytest.mark.xdist_group("own code")

PAGE = (REPOSITORY / "docs/extending.md").read_text()


def shown(file: str) -> str:
    """The block of docs/extending.md that begins with the name of this file."""
    [text] = re.findall(rf"^```\w+\n(# {re.escape(file)}\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return text


# With something of another file, too.
NET = f"from my_code.shapes import UNITS\n{shown('my_code/nets.py').replace('units):', 'units=UNITS):')}"
EXPERIMENT = {
    **yaml.safe_load(shown("rows.yaml"))["experiments"]["digits_rows"],
    **yaml.safe_load(shown("pictures.yaml"))["experiments"]["digits_rows"],
    # Less of it, and of no other file.
    "training": {"epochs": 2, "batch_size": 8, "seeds": 2, "arms": ["order"], "evaluations": 2, "snapshots": 2},
    "measures": {"correlation_thresholds": [0.95]},
    "views": ["curves"],
    "cells": {"small": {"step_size": 0.1}},
}
CELL = "results/cells/stripes.small/sparsity.nc"
CHAIN = {
    *((rule, f"stripes.small.{seed}") for rule in ("train_images", "features_images") for seed in (0, 1)),
    ("sparsity_images", "stripes.small"),
}


def write_stripes(file: Path, examples: int) -> None:
    """Pictures of two classes, as a user has them."""
    labels = np.arange(examples) % 2
    images = np.zeros((examples, 6, 6), dtype=np.uint8)
    images[labels == 0, ::2] = 255
    images[labels == 1, :, ::2] = 255
    np.savez(file, train_images=images, train_labels=labels, test_images=images[:8], test_labels=labels[:8])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("own"))
    own = project.folder / "my_code"
    own.mkdir()
    (own / "nets.py").write_text(NET)
    (own / "images.py").write_text(shown("my_code/images.py"))
    (own / "shapes.py").write_text("UNITS = 7\n")
    write_stripes(project.folder / EXPERIMENT["data"]["options"]["file"], examples=32)
    # Jobs must not take it for the standard library's.
    (project.folder / "random.py").write_text("raise ImportError('a file of the user')\n")
    (project.folder / "config.yaml").write_text(
        yaml.safe_dump({"scale": "laptop", "experiments": {"stripes": EXPERIMENT}})
    )
    project.snakemake("--cores", "2", CELL)
    return project


@pytest.fixture
def project(trained: Project, tmp_path: Path) -> Iterator[Project]:
    copy = trained.copy(tmp_path / "project")
    yield copy
    shutil.rmtree(copy.folder)


def planned(project: Project) -> set[tuple[str, str]]:
    return {(rule, name if rule != "images" else "") for rule, name in project.planned(CELL)}


def test_it_runs_to_the_sparsity_of_the_named_block(trained: Project) -> None:
    with xr.open_dataset(trained.folder / CELL) as sparsity:
        assert sparsity.sizes["block"] == 1
        assert (
            0 < sparsity["feature_sparsity"].isel(arm=0, seed=0, snapshot_step=0, correlation_threshold=0).item() <= 1
        )
    assert planned(trained) == set()


def test_a_random_py_of_the_users_breaks_no_rule_with_run(project: Project) -> None:
    """Such a rule starts a Snakemake of its own, here as for users: not forked, which has imported the library's."""
    command = [str(Path(sys.executable).parent / "snakemake"), "--cores", "1", "results/specs/aggregate.json"]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (project.folder / "results/specs/aggregate.json").exists()


def test_a_comment_in_it_reruns_nothing(project: Project) -> None:
    project.append("my_code/nets.py", "# A comment.\n")
    assert planned(project) == set()


@pytest.mark.parametrize("file", ["nets.py", "shapes.py"])
def test_an_edit_of_the_network_or_of_what_it_imports_trains_again(project: Project, file: str) -> None:
    project.append(f"my_code/{file}", "MORE = 1\n")
    assert planned(project) == CHAIN


def test_an_edit_of_the_images_prepares_them_again(project: Project) -> None:
    project.append("my_code/images.py", "MORE = 1\n")
    assert planned(project) == CHAIN | {("images", "")}


def test_a_name_that_is_not_there_is_one_line_before_any_job(project: Project) -> None:
    project.edit("config.yaml", "my_code.nets.Rows", "my_cod.nets.Rows")
    done = project.snakemake("--cores", "1", CELL, check=False)
    assert done.returncode != 0
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert "experiments.stripes" in lines[0]
    assert "my_cod" in lines[0]
    assert "Traceback" not in done.stderr + done.stdout


def test_a_class_that_is_not_there_is_one_line_of_the_job(project: Project) -> None:
    project.edit("config.yaml", "my_code.nets.Rows", "my_code.nets.Narrow")
    done = project.snakemake("--cores", "1", CELL, check=False)
    assert done.returncode != 0
    log = (project.folder / "results/logs/train/stripes.small.0.log").read_text()
    # After the progress bar.
    last = log.splitlines()[-1]
    assert last.startswith("error: ")
    assert "my_code.nets.Narrow" in last
    assert "Traceback" not in log
