"""Exact reruns: what a change plans, by (rule, wildcards). One test for each row of the table in docs/design.md."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project

VIEWS = {"diagonal.curves", "points.curves", "points.fits", "teacher.neurons", "digits.curves", "digits.blocks"}
EXPERIMENTS = {"diagonal", "points", "teacher", "digits"}
CELLS = {
    *("diagonal.small", "diagonal.decay50", "points.decay2", "points.decay50"),
    *("teacher.small", "digits.small", "digits.decay50"),
}
DIGITS_DECAY50 = (
    "      decay50: {step_size: 0.1, warmup: {kind: exponential, base: 1.05}, decays: [{at: 0.5, divide_by: 10.0}]}\n"
)
FIGURES = {("figure", view) for view in VIEWS}
AGGREGATES = FIGURES | {("aggregate", ""), ("claims", "")} | {("table", name) for name in EXPERIMENTS}


def chain(*cells: str) -> set[tuple[str, str]]:
    """All stages of the given cells, from training on."""
    train = {("train_images" if cell.startswith("digits") else "train", cell) for cell in cells}
    return train | {(rule, cell) for rule in ("features", "sparsity") for cell in cells}


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Iterator[Project]:
    """A copy of the finished project, with all its results and Snakemake's records, to edit."""
    folder = tmp_path / "project"
    shutil.copytree(finished.folder, folder, symlinks=True)
    yield Project(folder)
    shutil.rmtree(folder)


def test_nothing_to_do_after_a_run(project: Project) -> None:
    assert project.planned() == set()


def test_one_cell_edited(project: Project) -> None:
    project.edit("config.yaml", "small: {step_size: 0.1, published", "small: {step_size: 0.11, published")
    assert project.planned() == chain("diagonal.small") | AGGREGATES


def test_one_cell_added(project: Project) -> None:
    small, rest = "      small: {step_size: 0.01}\n", DIGITS_DECAY50
    project.edit("config.yaml", small + rest, rest + small)
    project.edit("workflow/rules/train.smk", "threads: 1", "threads: 2")
    project.edit("workflow/rules/train.smk", "mem_mb=3000", "mem_mb=3500")
    for path in sorted(project.folder.rglob("*"), reverse=True):
        if ".snakemake" not in path.parts:
            os.utime(path)
    assert project.planned() == set()


def test_larger_scale_includes_the_smaller(project: Project) -> None:
    planned = project.planned("--config", "scale=paper")
    assert {("train_images", "later.small"), ("data", "later")} <= planned
    assert not chain(*CELLS) & planned
