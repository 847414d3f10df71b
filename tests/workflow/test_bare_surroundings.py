"""Without a home, a terminal and a locale, with a strict umask, in a folder of an odd name: the same stores."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import xarray as xr

from tests.conftest import Project

STORE = "results/cells/diagonal.small/sparsity.nc"


def content(folder: Path) -> str:
    with xr.open_dataset(folder / STORE) as measures:
        return str(measures.attrs["content_sha256"])


def test_a_stage_and_a_command(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "my $x; é #1")
    project.edit("config.yaml", "title: Tiny diagonal network", 'title: "Größe 猫 `x` $y"')

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=project.folder,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PYTHONPATH": "src"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            umask=0o077,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    run("snakemake", "--cores", "1", "--force", STORE)
    assert content(project.folder) == content(finished.folder)
    assert os.stat(project.folder / STORE).st_mode & 0o077 == 0
    assert "diagonal.small      done" in run("largestep", "cells")
