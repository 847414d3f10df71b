"""A run of the workflow that is killed again and again ends with the bits of one that is not.

Killed are Snakemake with all its jobs, Snakemake alone, whose jobs go on while the next run begins, single jobs, and
whoever is in the middle of writing a file.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from tests.conftest import Project
from tests.reliability.conftest import Counted
from tests.reliability.small import KILLS, differences, jobs, make_small

KINDS = (
    "Snakemake and its jobs",
    "Snakemake alone",
    "a job that writes, and Snakemake",
    "a job of training",
    "an aggregate, a figure or a table",
    "a job that writes",
)
# What jobs of a kind run.
TRAINING = ("largestep.train",)
AGGREGATES = ("largestep.aggregate", "largestep.figures", "largestep.tables", "largestep.claims")
# A run that is not killed any more has to end within this time.
PATIENCE_S = 300.0


class Run:
    """Snakemake in a project, in a process group of its own with its jobs."""

    def __init__(self, project: Project) -> None:
        self.project = project
        # Its own memory of what it printed would fill a pipe.
        self.log = project.folder / "snakemake.txt"
        with self.log.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--cores", "2"],
                cwd=project.folder,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def __enter__(self) -> Run:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Leave nothing running when the test fails."""
        if error is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def ended(self) -> bool:
        return self.process.poll() is not None

    def kill(self, *, jobs_too: bool) -> None:
        if jobs_too:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()


def strike(run: Run, kind: str, draw: random.Random, pace: float) -> bool:
    """Wait for the moment, and kill; False when the run ended before it came. pace: seconds to wait at most."""
    until = time.monotonic() + draw.uniform(0.05, 1.0) * pace
    if kind in ("Snakemake and its jobs", "Snakemake alone"):
        while time.monotonic() < until:
            if run.ended():
                return False
            time.sleep(0.01)
        run.kill(jobs_too=kind != "Snakemake alone")
        return True
    while not run.ended():
        assert time.monotonic() < until + PATIENCE_S, f"waited in vain for {kind}"
        if time.monotonic() >= until and (victim := victim_of(run, kind)):
            with suppress(psutil.NoSuchProcess):
                victim.kill()
                if kind.endswith("and Snakemake"):
                    run.kill(jobs_too=True)
                return True
        time.sleep(0.002 if "writes" in kind else 0.02)
    return False


def victim_of(run: Run, kind: str) -> psutil.Process | None:
    """A job of a kind that is running now."""
    if "writes" in kind:
        for part in (run.project.folder / "results").rglob(".*.part"):
            process = part.name.split(".")[-2]
            with suppress(psutil.NoSuchProcess, ValueError):
                return psutil.Process(int(process))
        return None
    wanted = TRAINING if "training" in kind else AGGREGATES
    running = [job for job in jobs(run.project) if _command(job).startswith(wanted)]
    return running[0] if running else None


def _command(job: psutil.Process) -> str:
    try:
        return job.cmdline()[2]
    except (psutil.Error, IndexError):
        return ""


def wait_for_orphans(project: Project) -> None:
    until = time.monotonic() + PATIENCE_S
    while jobs(project):
        assert time.monotonic() < until, "jobs of a killed run go on for ever"
        time.sleep(0.1)


def test_killed_at_random_moments_the_whole_workflow_ends_with_the_same_bits(
    undisturbed: Project, tmp_path: Path, counted: Counted
) -> None:
    draw, kills, restarts, compared, rounds = random.Random(KILLS), Counter[str](), 0, 0, 0
    begun = time.monotonic()
    # All jobs, one after the other on two cores, took about this long; a few kills to a round.
    pace = sum(float(path.read_text().split()[-10]) for path in benchmarks(undisturbed)) / 2 / 4
    while sum(kills.values()) < KILLS:
        project = make_small(tmp_path / f"round{rounds}")
        finished = False
        while not finished:
            with Run(project) as run:
                while not run.ended() and sum(kills.values()) < KILLS:
                    kind = KINDS[sum(kills.values()) % len(KINDS)]
                    kills[kind] += strike(run, kind, draw, pace)
                status = run.process.wait(PATIENCE_S)
            finished = status == 0
            if status == -signal.SIGKILL:
                project.snakemake("--unlock")
            restarts += not finished
        wait_for_orphans(project)
        different = differences(project, undisturbed)
        assert not different, f"{different} after {dict(kills)}"
        compared += len(list((project.folder / "results").rglob("*.nc")))
        rounds += 1
        shutil.rmtree(project.folder)
    for kind, number in kills.items():
        counted(f"kills survived, of {kind}", number)
    counted("kills survived, of whole runs, in all", sum(kills.values()))
    counted("restarts after kills", restarts)
    counted("stores compared after kills, all equal", compared)
    counted("seconds that the kills took", round(time.monotonic() - begun))


def benchmarks(project: Project) -> list[Path]:
    return sorted((project.folder / "results/benchmarks").rglob("*.tsv"))


def test_the_lock_message_says_how_to_go_on(undisturbed: Project, tmp_path: Path, repository: Path) -> None:
    project = undisturbed.copy(tmp_path / "project")
    (project.folder / "results/claims.csv").unlink()
    with Run(project) as run:
        while not jobs(project):
            assert not run.ended()
            time.sleep(0.01)
        run.kill(jobs_too=True)
    refused = project.snakemake("--cores", "2", check=False)
    assert refused.returncode != 0
    said = " ".join((refused.stdout + refused.stderr).split())
    assert "It can be removed with the --unlock argument." in said
    assert "Traceback" not in said
    assert "snakemake --unlock" in (repository / "README.md").read_text()
    project.snakemake("--unlock")
    project.snakemake("--cores", "2")
    assert not differences(project, undisturbed)
