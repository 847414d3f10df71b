"""A full disk and too little memory end in one clear line, and a restart completes with the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.reliability.small import FULL, differences, jobs, make_small

DISK = 64 * 2**20


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of its own in memory, which only root can have."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    if (failed := subprocess.run(mount, capture_output=True, text=True)).returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {failed.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def messages(project: Project, said: str) -> list[str]:
    """The lines with which jobs ended; no job may have said more."""
    assert "Traceback" not in said, said[-5000:]
    logs = [path.read_text() for path in (project.folder / "results/logs").rglob("*.log")]
    assert not any("Traceback" in text for text in logs)
    return [line for text in logs for line in text.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize("room", [20_000, 120_000, 300_000] if FULL else [120_000])
def test_a_full_disk(undisturbed: Project, tmp_path: Path, room: int) -> None:
    project = make_small(tmp_path / "project")
    results = project.folder / "results"
    with small_disk(results):
        ballast = results / "ballast"
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, DISK - room)
        done = project.snakemake("--cores", "2", check=False)
        assert done.returncode != 0
        lines = messages(project, done.stdout + done.stderr)
        assert lines
        assert all(": cannot be written: " in line and "MB are free on this disk" in line for line in lines), lines
        assert any(line in done.stdout + done.stderr for line in lines)
        ballast.unlink()
        project.snakemake("--cores", "2")
        assert not differences(project, undisturbed)


@pytest.mark.parametrize(
    ("old", "new", "target", "message"),
    [
        ("hidden: [8]", "hidden: [40000000000]", "cells/digits.decay50/train.nc", "out of memory"),
        ("examples: 8, dimension: 10,", "examples: 1000000, dimension: 9000000,", "data/diagonal.nc", "out of memory"),
    ][: 2 if FULL else 1],
)
def test_settings_too_large_for_the_memory(
    undisturbed: Project, tmp_path: Path, old: str, new: str, target: str, message: str
) -> None:
    project = undisturbed.copy(tmp_path / "project")
    project.edit("config.yaml", old, new)
    done = project.snakemake("--cores", "1", f"results/{target}", check=False)
    assert done.returncode != 0
    (line,) = messages(project, done.stdout + done.stderr)
    assert message in line
    assert line in done.stdout + done.stderr
    project.edit("config.yaml", new, old)
    project.snakemake("--cores", "2")
    assert not differences(project, undisturbed)


def test_a_job_that_the_kernel_kills_for_want_of_memory(undisturbed: Project, tmp_path: Path) -> None:
    """It cannot say so itself: the shell that called it does."""
    project = undisturbed.copy(tmp_path / "project")
    (project.folder / "results/cells/diagonal.small/sparsity.nc").unlink()
    (project.folder / "results/largestep.nc").unlink()
    with (project.folder / "said.txt").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "1"], cwd=project.folder, stdout=said, stderr=said
        )
    until = time.monotonic() + 120
    while not (victims := [job for job in jobs(project) if job.name().startswith("python")]):
        assert time.monotonic() < until
        time.sleep(0.01)
    victims[0].kill()
    assert process.wait(300) != 0
    text = (project.folder / "said.txt").read_text()
    lines = [line for line in text.splitlines() if line.startswith("error: ")]
    assert lines == [
        "error: the job was killed, most likely for want of memory; run fewer jobs at once or make it smaller in "
        "config.yaml, and start again"
    ]
    assert "Traceback" not in text
    (project.folder / "said.txt").unlink()
    project.snakemake("--cores", "2")
    assert not differences(project, undisturbed)
