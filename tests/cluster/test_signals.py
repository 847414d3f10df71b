"""What signals to Snakemake do to its jobs on a real Slurm, and that a group that fails costs no study."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import slurm
from tests.conftest import REPOSITORY, make_project

PATIENCE_S = 300.0
FASTER = ("--slurm-init-seconds-before-status-checks", "3", "--seconds-between-status-checks", "3")
# Two jobs that wait until they are told to end.
WAITING = """
rule all:
    input: "one.txt", "two.txt"
rule wait:
    output: "{name}.txt"
    resources: runtime=5, mem_mb=100, slurm_partition="cpu"
    shell: "touch {wildcards.name}.started; until [ -e go ]; do sleep 0.2; done; echo done > {output}"
"""

# One job that Slurm takes and one that it refuses.
REFUSED = """
rule all:
    input: "cpu.txt", "nowhere.txt"
rule make:
    output: "{partition}.txt"
    resources: runtime=5, mem_mb=100, slurm_partition=lambda wildcards: wildcards.partition
    shell: "touch {output}"
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[slurm.Slurm]:
    reason = slurm.why_not()
    if reason is not None:
        pytest.skip(f"no Slurm can be started here: it {reason}")
    slurm.install()
    with slurm.running() as started:
        yield started


class Run:
    """A run of snakemake in a session of its own, with both jobs running."""

    def __init__(self, cluster: slurm.Slurm, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        folder.mkdir()
        (folder / "Snakefile").write_text(WAITING)
        profile = REPOSITORY / "workflow/profiles/slurm"
        command = ["snakemake", "--workflow-profile", str(profile), "--latency-wait", "5", "--retries", "0", *FASTER]
        # In the background of a shell SIGINT is ignored, and under nohup SIGHUP, by all that is started there.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=folder, stdout=log, stderr=log, start_new_session=True
            )
        self.until(lambda: all((folder / f"{name}.started").exists() for name in ("one", "two")))

    def until(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.2)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def states(self) -> list[str]:
        """Of its jobs, which Slurm knows by the name of the run."""
        [name] = set(re.findall(r"SLURM run ID: (\S+)", self.log()))
        asked = ("--allocations", "--noheader", "--parsable2", f"--name={name}", "--format=state")
        table = self.cluster.run("sacct", *asked)
        return [line.split()[0] for line in table.splitlines()]

    def goes_on(self) -> bool:
        """Whether it and its jobs still run after a while in which SIGINT has cancelled everything."""
        time.sleep(8)
        return self.process.poll() is None and self.states() == ["RUNNING", "RUNNING"]

    def end_jobs(self) -> None:
        (self.folder / "go").touch()


@pytest.fixture
def run(cluster: slurm.Slurm, tmp_path: Path) -> Iterator[Run]:
    started = Run(cluster, tmp_path / "run")
    yield started
    started.end_jobs()
    if started.process.poll() is None:
        os.killpg(started.process.pid, signal.SIGKILL)
        started.process.wait()
    cluster.try_run("scancel", "--user", "root")


@pytest.mark.parametrize("kill", [os.killpg, os.kill], ids=["as the terminal does", "the main process alone"])
def test_sigint_cancels(run: Run, kill: Callable[[int, int], None]) -> None:
    kill(run.process.pid, signal.SIGINT)
    assert run.process.wait(PATIENCE_S) == 1
    run.until(lambda: run.states() == ["CANCELLED", "CANCELLED"])
    assert "Unable to guess SLURM account" in run.log()
    # The next run goes on.
    run.end_jobs()
    again = [sys.executable, "-m", "snakemake", "--cores", "1", "--rerun-incomplete"]
    assert subprocess.run(again, cwd=run.folder, capture_output=True).returncode == 0


def test_sigterm_cancels_nothing_and_waits(run: Run) -> None:
    run.process.send_signal(signal.SIGTERM)
    assert run.goes_on()
    run.end_jobs()
    assert run.process.wait(PATIENCE_S) == 1
    assert run.states() == ["COMPLETED", "COMPLETED"]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_hanging_up_leaves_the_jobs(run: Run, number: signal.Signals) -> None:
    run.process.send_signal(number)
    assert run.process.wait(PATIENCE_S) == -number
    assert run.states() == ["RUNNING", "RUNNING"]
    [name] = set(re.findall(r"SLURM run ID: (\S+)", run.log()))
    # As docs/cluster.md says, then unlocked and started again.
    run.cluster.run("scancel", "--name", name)
    run.until(lambda: run.states() == ["CANCELLED", "CANCELLED"])
    run.end_jobs()
    again = [sys.executable, "-m", "snakemake", "--cores", "1", "--rerun-incomplete"]
    assert "cannot be locked" in subprocess.run(again, cwd=run.folder, capture_output=True, text=True).stderr
    assert subprocess.run([*again, "--unlock"], cwd=run.folder, capture_output=True).returncode == 0
    assert subprocess.run(again, cwd=run.folder, capture_output=True).returncode == 0


def test_what_failed_costs_nothing_that_took_long(cluster: slurm.Slurm, tmp_path: Path) -> None:
    """A figure of a study fails, and a sparsity: the study, the training and the features are kept."""
    project = make_project(tmp_path / "project", Path(__file__).parent / "config_small.yaml")
    for module in ("figures/bouncing", "sparsity"):
        project.append(f"src/largestep/{module}.py", "\nraise SystemExit('error: made to fail')\n")
    targets = ("results/figures/bouncing.png", "results/cells/diagonal.small/sparsity.nc")
    arguments = ("--workflow-profile", "workflow/profiles/slurm", "--latency-wait", "5", "--retries", "0", *FASTER)
    done = project.snakemake(*arguments, *targets, check=False)
    assert done.returncode == 1
    assert "made to fail" in done.stdout + done.stderr
    results = project.folder / "results"
    assert sorted(str(path.relative_to(results)) for path in results.rglob("*.nc")) == [
        *(f"cells/diagonal.small/{name}.nc" for name in ("features", "snapshots", "train")),
        *("data/diagonal.nc", "studies/bouncing.nc"),
    ]


def test_what_slurm_refuses_is_said_and_costs_nothing(cluster: slurm.Slurm, tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(REFUSED)
    profile = ("--workflow-profile", str(REPOSITORY / "workflow/profiles/slurm"))
    command = [sys.executable, "-m", "snakemake", *profile, "--latency-wait", "5", "--retries", "0", *FASTER]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "sbatch: error: invalid partition specified: nowhere" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert (tmp_path / "cpu.txt").exists()
