"""The workflow on a real Slurm: jobs are cancelled, preempted, timed out or lost with a node, and nothing changes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from tests.cluster import slurm
from tests.cluster.digests import digests
from tests.conftest import Project, make_project

T = TypeVar("T")
# Much more than anything here takes, for machines with much else to do.
PATIENCE_S = 1200.0
PROFILE = "workflow/profiles/slurm"
# All of them; test_signals.py makes figures.
STORES = "results/largestep.nc"


@dataclass(frozen=True)
class Training:
    """A training job that runs at this moment: its process, its cell, and what Slurm gave it."""

    pid: int
    cell: str
    job: str
    node: str
    devices: str

    def signal(self, number: int) -> None:
        """Send the process itself a signal."""
        os.kill(self.pid, number)


@pytest.fixture
def cluster() -> Iterator[slurm.Slurm]:
    reason = slurm.why_not()
    if reason is not None:
        pytest.skip(f"no Slurm can be started here: it {reason}")
    slurm.install()
    with slurm.running() as started:
        yield started


def test_disturbed_jobs_end_with_the_stores_of_an_undisturbed_run(
    cluster: slurm.Slurm, start: Callable[..., _Run], tmp_path: Path
) -> None:
    started = time.monotonic()
    here, there = (_project(tmp_path / name) for name in ("local", "slurm"))
    undisturbed = start(here, "--cores", "2", STORES)
    faster = ("--slurm-init-seconds-before-status-checks", "3", "--seconds-between-status-checks", "3")
    workflow = start(there, "--workflow-profile", PROFILE, *faster, "--", STORES)
    waiting = _Waiting(cluster, there, workflow)

    # Three cells train at once on three devices.
    trainings = waiting.until("three cells train", lambda: waiting.trained_a_seed(at_least=3))
    devices = {(each.node, each.devices) for each in trainings}
    assert devices == {("first", "0"), ("first", "1"), ("spare", "0")}, devices
    cancelled, overdue = [each for each in trainings if each.node == "first"]
    preempted = next(each for each in trainings if each.node == "spare")

    # One hangs until its time is up, one is cancelled, one has to give way to a job of a higher priority.
    overdue.signal(signal.SIGSTOP)
    cluster.run("scontrol", "update", f"jobid={overdue.job}", "timelimit=1")
    cluster.run("scancel", cancelled.job)
    urgent = ("--partition=urgent", "--nodelist=spare", "--gres=gpu:1", "--mem=100", "--output=/dev/null")
    cluster.run("sbatch", *urgent, "--job-name=urgent", "--wrap", "true")
    waiting.until("preemption", lambda: waiting.state(preempted.job, "PREEMPTED", "REQUEUED"))
    cluster.start_at_once(preempted.job)

    # The daemon of a node dies under a running job and comes back: the job does not notice.
    again = waiting.until("the cancelled cell trains again", lambda: waiting.resubmitted(cancelled))
    cluster.kill_slurmd(again.node)
    time.sleep(1)
    cluster.start_slurmd(again.node)
    assert _alive(again.pid) or waiting.state(again.job, "COMPLETED")

    # The one that was overdue gets twice the time, and loses its node.
    waiting.until("time limit", lambda: waiting.state(overdue.job, "TIMEOUT"))
    lost = waiting.until("the overdue cell trains again", lambda: waiting.resubmitted(overdue))
    limits = {each["jobid"]: each["timelimit"] for each in cluster.jobs()}
    assert limits[lost.job] == "2-00:00:00"
    killed = cluster.crash(lost.node)
    waiting.until("node failure", lambda: waiting.state(lost.job, "NODE_FAIL"))
    cluster.start_slurmd(lost.node)
    cluster.start_at_once(*{each["jobid"] for each in cluster.jobs() if each["state"] == "NODE_FAIL"})

    output = workflow.finish()
    undisturbed.finish()
    stores = [digests(project.folder) for project in (here, there)]
    assert stores[0] == stores[1]
    assert not list((there.folder / "results/checkpoints").glob("*"))

    jobs = [job for job in cluster.jobs() if job["comment"]]
    assert {job["account"] for job in jobs} == {"research"}
    states = Counter(job["state"].split()[0] for job in jobs)
    submitted = len({job["jobid"] for job in jobs})
    assert {"CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED"} <= set(states)
    print(
        f"\n{submitted} jobs submitted; {states['CANCELLED']} cancelled, {states['TIMEOUT']} timed out, "
        f"{states['PREEMPTED']} preempted, {states['NODE_FAIL']} lost with a node ({killed} processes killed), "
        f"1 slurmd killed and restarted; {output.count('Trying to restart')} resubmitted by Snakemake, "
        f"{len(jobs) - submitted} requeued by Slurm; {len(stores[0])} stores equal to those of a local run; "
        f"{time.monotonic() - started:.0f} s"
    )


@dataclass(frozen=True)
class _Waiting:
    """Looks at a workflow that runs on a cluster until something happens."""

    cluster: slurm.Slurm
    project: Project
    workflow: _Run

    def until(self, what: str, look: Callable[[], T | None]) -> T:
        """The first result that is true."""
        deadline = time.monotonic() + PATIENCE_S
        while not (seen := look()):
            if self.workflow.process.poll() is not None:
                pytest.fail(f"snakemake ended before: {what}\n{self.workflow.output()[-5000:]}")
            if time.monotonic() > deadline:
                pytest.fail(f"waited in vain for: {what}\n{self.cluster.jobs()}{self.cluster.logs()}")
            time.sleep(0.3)
        return seen

    def trainings(self) -> list[Training]:
        """The cells that train now."""
        trainings = []
        for pid in self.cluster.job_processes():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                environment = slurm.environment_of(pid)
            except OSError:
                continue
            if command[1:3] == ["-m", "largestep.train_images"]:
                cell = Path(command[command.index("--checkpoints") + 1]).name
                given = (environment[key] for key in ("SLURM_JOB_ID", "SLURMD_NODENAME", "CUDA_VISIBLE_DEVICES"))
                trainings.append(Training(pid, cell, *given))
        return trainings

    def resubmitted(self, ended: Training) -> Training | None:
        """Another job that trains the cell of one that ended, once the first seed is kept."""
        successors = (each for each in self.trained_a_seed() if each.cell == ended.cell and each.job != ended.job)
        return next(successors, None)

    def trained_a_seed(self, at_least: int = 1) -> list[Training]:
        """The cells that train now and have kept the state of their first seed, if they are so many."""
        kept = self.project.folder / "results/checkpoints"
        trained = [each for each in self.trainings() if (kept / each.cell / "run0.safetensors").exists()]
        return trained if len(trained) >= at_least else []

    def state(self, job: str, *states: str) -> bool:
        """Whether Slurm has ever given a job one of these states."""
        return any(each["jobid"] == job and each["state"].split()[0] in states for each in self.cluster.jobs())


def _project(folder: Path) -> Project:
    return make_project(folder, Path(__file__).parent / "config.yaml")


@dataclass(frozen=True)
class _Run:
    """A run of snakemake beside the test."""

    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def finish(self) -> str:
        """Wait until it has succeeded."""
        self.process.wait(timeout=PATIENCE_S)
        assert self.process.returncode == 0, self.output()[-5000:]
        return self.output()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., _Run]]:
    """Starts snakemake in a project; what still runs at the end of the test is ended."""
    runs = []

    def started(project: Project, *arguments: str) -> _Run:
        log = project.folder.with_suffix(".log")
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", *arguments],
                cwd=project.folder,
                env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "numba")},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        runs.append(_Run(process, log))
        return runs[-1]

    yield started
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()


def _alive(pid: int) -> bool:
    try:
        state = re.search(r"State:\s+(\w)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return False
    return state is not None and state.group(1) != "Z"
