"""The image of the Containerfile, built and run on the tiny study as an ordinary user: make test-container."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

IMAGE = "localhost/largestep-test"
SNAKEMAKE = ("snakemake", "--snakefile", "/opt/largestep/workflow/Snakefile")

if shutil.which("podman") is None:
    pytest.skip("podman is not installed", allow_module_level=True)


def podman(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["podman", *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def image() -> str:
    base = podman("pull", "docker.io/library/python:3.12-slim-bookworm")
    if base.returncode:
        pytest.skip(f"its base cannot be had here: {base.stderr.strip().splitlines()[-1]}")
    built = podman("build", "--tag", IMAGE, REPOSITORY)
    assert built.returncode == 0, built.stderr[-3000:]
    return IMAGE


def test_both_commands_run_as_an_ordinary_user(image: str, tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "tests/tiny/config.yaml", tmp_path)
    tmp_path.chmod(0o777)
    run = (
        "run",
        "--rm",
        "--volume",
        f"{tmp_path}:/work",
        *(() if os.getuid() == 0 else ("--userns", "keep-id")),
        image,
    )
    assert podman(*run, "id", "-u").stdout.strip() == "1000"
    for command in ((*SNAKEMAKE, "--cores", "2"), (*SNAKEMAKE, "--cores", "1", "--report", "results/report.html")):
        done = podman(*run, *command)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert (tmp_path / "results/largestep.nc").stat().st_size > 0
    assert (tmp_path / "results/report.html").stat().st_size > 0
