"""In an environment with nothing but Snakemake everything can be planned, and a run says what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY, make_project

# What Snakemake asks a conda for before it plans.
CONDA = """#!/bin/sh
case "$1" in
    info) echo '{"conda_prefix": "/nowhere", "platform": "linux-64"}' ;;
    config) echo '{"get": {"channel_priority": "strict"}}' ;;
    *) echo "conda 26.1.0" ;;
esac
"""


def required_by(name: str) -> set[str]:
    """The names of a distribution and of all that it requires, directly or not."""
    packages: set[str] = set()
    waiting = [canonicalize_name(name)]
    while waiting:
        each = waiting.pop()
        if each not in packages:
            packages.add(each)
            needs = map(Requirement, distribution(each).requires or [])
            waiting += [
                canonicalize_name(need.name)
                for need in needs
                if need.marker is None or need.marker.evaluate({"extra": ""})
            ]
    return packages


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds Snakemake and what it requires, linked from this one."""
    folder = tmp_path_factory.mktemp("plain") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    for name in required_by("snakemake"):
        for file in distribution(name).files or []:
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (packages / top).exists():
                (packages / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    conda = folder / "bin/conda"
    conda.write_text(CONDA)
    conda.chmod(0o755)
    return folder / "bin/python"


def snakemake(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PATH"] = f"{python.parent}:/usr/bin:/bin"
    return subprocess.run(
        [str(python), "-m", "snakemake", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_nothing_else_is_there(plain: Path) -> None:
    for package in ("numpy", "torch", "largestep"):
        done = subprocess.run([str(plain), "-I", "-c", f"import {package}"], capture_output=True, text=True)
        assert f"No module named '{package}'" in done.stderr


@pytest.mark.parametrize("arguments", [("-n",), ("--lint",), ("-n", "--sdm", "conda")], ids=" ".join)
def test_plans(plain: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    project = make_project(tmp_path / "project", REPOSITORY / "config.yaml")
    done = snakemake(plain, project.folder, *arguments, "--config", "scale=paper")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "good condition" in done.stderr if arguments == ("--lint",) else "train_images" in done.stdout


def test_a_run_without_the_libraries_ends_before_it_starts(plain: Path, tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    done = snakemake(plain, project.folder, "--cores", "1")
    assert done.returncode != 0
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "has no package" in line
    assert "--software-deployment-method conda" in line
    assert "Traceback" not in done.stderr
    # Nothing is locked.
    assert snakemake(plain, project.folder, "-n").returncode == 0


def test_a_job_without_the_libraries_says_so_last(plain: Path, tmp_path: Path) -> None:
    """As in a workflow that imports ours, of which ours cannot ask before it starts."""
    command = ["bash", str(REPOSITORY / "workflow/scripts/job.sh"), "data", "--help"]
    environment = os.environ | {"LARGESTEP_PYTHON": str(plain.parent)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"error: {plain} has no package netCDF4, which this job needs: install"
    )


@pytest.mark.parametrize(("name", "executor"), [("slurm", "slurm"), ("sge", "cluster-generic")])
def test_a_plugin_that_a_profile_needs_and_that_is_not_there(
    plain: Path, tmp_path: Path, name: str, executor: str
) -> None:
    """Snakemake names it after its usage, before it reads a line of ours, and starts nothing."""
    project = make_project(tmp_path / "project")
    done = snakemake(plain, project.folder, "--workflow-profile", f"workflow/profiles/{name}")
    assert done.returncode != 0
    [line] = [line for line in done.stderr.splitlines() if "error:" in line]
    assert f"argument --executor/-e: invalid choice: '{executor}'" in line
    assert "Traceback" not in done.stderr
    assert not (project.folder / ".snakemake").exists()
