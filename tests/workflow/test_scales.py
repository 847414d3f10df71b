"""The larger scales of config.yaml: what they would run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from largestep import config
from tests.conftest import Project, make_project


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Project:
    project = make_project(tmp_path_factory.mktemp("real"))
    shutil.copy(repository / "config.yaml", project.folder / "config.yaml")
    return project


def test_the_paper_scale_passes_a_dry_run(real: Project, repository: Path) -> None:
    planned = real.planned("--config", "scale=paper")
    experiments = config.load(repository / "config.yaml").experiments
    # At scale paper every seed has a job of its own.
    wanted = {
        f"{name}.{cell}.{seeds}"
        for name, each in experiments.items()
        if each.images
        for cell in each.cells
        for seeds in (range(each.training.seeds) if each.scale != "laptop" else ["0-19"])
    }
    assert wanted == {job for rule, job in planned if rule == "train_images"}
    assert len({name.rpartition(".")[0] for name in wanted if name.startswith(("resnet", "densenet"))}) == 12 * 4
    assert {("images", kind) for kind in ("digits", "fashion_mnist", "cifar10", "cifar100", "tiny_imagenet")} <= planned


def test_only_runs_what_it_names(real: Project) -> None:
    planned = real.planned("--config", "scale=workstation", "only=[fashion_mnist]")
    cells = {name.rpartition(".")[0] for rule, name in planned if rule == "train_images"}
    assert cells == {f"fashion_mnist.{cell}" for cell in ("small", "decay10", "decay30", "decay50")}
    assert not any(rule in ("train", "study") for rule, _ in planned)
    assert {("aggregate", ""), ("claims", "")} <= planned


def test_only_cannot_name_what_the_scale_does_not_run(real: Project) -> None:
    done = real.snakemake("--dry-run", "--config", "only=[fashion_mnist]", check=False)
    assert done.returncode != 0
    assert (
        "only: fashion_mnist runs at scale workstation; set scale to workstation as well" in done.stdout + done.stderr
    )
