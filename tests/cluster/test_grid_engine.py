"""The workflow on a real Grid Engine: jobs are deleted, timed out or lost with their node, refused and cancelled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import grid_engine
from tests.cluster.digests import digests
from tests.conftest import REPOSITORY, make_project

# Much more than anything here takes, for machines with much else to do.
PATIENCE_S = 900.0
PROFILE = ("--workflow-profile", str(REPOSITORY / "workflow/profiles/sge"))
FASTER = ("--seconds-between-status-checks", "2", "--latency-wait", "5")
STORES = ("results/cells/diagonal.small/train.nc", "results/studies/bouncing.nc")
# Jobs that say which attempt they are and wait until they are told to end.
WAITING = """
rule all:
    input: expand("{name}.txt", name=config["names"].split())
rule wait:
    output: "{name}.txt"
    resources: runtime=5, mem_mb=10, attempt=lambda wildcards, attempt: attempt
    shell: "touch {wildcards.name}.{resources.attempt}; until [ -e go ]; do sleep 0.2; done; echo done > {output}"
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grid_engine.GridEngine]:
    reason = grid_engine.why_not()
    if reason is not None:
        pytest.skip(f"no Grid Engine can be started here: it {reason}")
    grid_engine.install()
    with grid_engine.running(tmp_path_factory.mktemp("sge")) as started:
        yield started


class Run:
    """A run of snakemake beside the engine, in a session of its own."""

    def __init__(self, engine: grid_engine.GridEngine, folder: Path, *arguments: str) -> None:
        self.engine, self.folder, self.file = engine, folder, folder / "log"
        # What a shell starts in the background ignores SIGINT, and so would all that this process starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with self.file.open("wb") as log:
            self.process = subprocess.Popen(
                engine.command(sys.executable, "-m", "snakemake", *PROFILE, *FASTER, *arguments, folder=folder),
                env=engine.environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def until(self, what: str, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, f"waited in vain for: {what}\n{self.log()}"
            time.sleep(0.3)

    def until_started(self, *names: str) -> None:
        """Until files are there that jobs make when they start."""
        self.until(" ".join(names), lambda: all((self.folder / name).exists() for name in names))

    def log(self) -> str:
        return self.file.read_text(errors="replace")

    def interrupt(self) -> None:
        """SIGINT to Snakemake, which nsenter has started."""
        child = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        os.kill(int(child), signal.SIGINT)

    def end_jobs(self) -> None:
        (self.folder / "go").touch()

    def finish(self) -> str:
        assert self.process.wait(PATIENCE_S) == 0, self.log()[-5000:]
        return self.log()

    def id_of(self, name: str) -> str:
        """The id of the first job that Grid Engine was given for a file."""
        block = self.log().split(f"output: {name}.txt\n", 1)[1]
        number = block.split("jobid: ", 1)[1].split()[0]
        return self.log().split(f"Submitted job {number} with external jobid '", 1)[1].split("'")[0]


@pytest.fixture
def start(engine: grid_engine.GridEngine, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts a run of waiting jobs; what is left of it at the end is ended."""
    runs = []

    def started(names: str, *arguments: str) -> Run:
        (tmp_path / "Snakefile").write_text(WAITING)
        runs.append(Run(engine, tmp_path, "--config", f"names={names}", *arguments))
        return runs[-1]

    yield started
    (tmp_path / "go").touch()
    for run in runs:
        if run.process.poll() is None:
            os.killpg(run.process.pid, signal.SIGKILL)
            run.process.wait()


def test_stores_are_those_of_a_local_run(engine: grid_engine.GridEngine, tmp_path: Path) -> None:
    here, there = (
        make_project(tmp_path / name, Path(__file__).parent / "config_small.yaml") for name in ("local", "sge")
    )
    run = Run(engine, there.folder, *STORES)
    here.snakemake("--cores", "1", *STORES)
    run.finish()
    assert digests(here.folder) == digests(there.folder)
    # All but the specs, which are made at once, went through the queue.
    assert run.log().count("with external jobid") == 3
    assert len(list((there.folder / "results/logs/sge").iterdir())) == 3, run.log()


def test_what_is_deleted_overdue_or_lost_is_submitted_again(
    engine: grid_engine.GridEngine, start: Callable[..., Run]
) -> None:
    engine.run("qmod", "-d", "all.q")
    names = ("early", "running", "overdue", "lost")
    run = start(" ".join(names))
    run.until("four jobs wait", lambda: list(engine.jobs().values()) == ["qw"] * 4)
    ids = {name: run.id_of(name) for name in names}
    # One is deleted while it waits: Grid Engine then knows nothing of it.
    engine.run("qdel", ids["early"])
    engine.run("qalter", "-l", "h_rt=3", ids["overdue"])
    engine.run("qmod", "-e", "all.q")
    run.until_started("running.1", "lost.1")
    engine.run("qdel", ids["running"])
    mark = run.folder / f"results/logs/sge/{ids['early']}.unknown"
    run.until_started(str(mark))
    # As if two minutes had passed.
    os.utime(mark, (0, 0))
    run.until_started("early.2", "running.2", "overdue.2")
    engine.lose_node()
    run.until("the jobs of the lost node wait again", lambda: list(engine.jobs().values()).count("qw") == 4)
    run.end_jobs()
    engine.start_execd()
    # All four once more, of which three had been submitted twice.
    assert run.finish().count("Trying to restart") == 7
    # The node, when it came back, forgot what it had lost.
    run.until("no job is left", lambda: engine.jobs() == {})
    for name in ("running", "overdue"):
        assert "exit_status  137" in engine.accounts(ids[name])


def test_sigint_deletes_the_jobs(engine: grid_engine.GridEngine, start: Callable[..., Run]) -> None:
    run = start("one two")
    run.until_started("one.1", "two.1")
    run.interrupt()
    assert run.process.wait(PATIENCE_S) == 1
    run.until("no job is left", lambda: engine.jobs() == {})


def test_a_killed_run_leaves_its_jobs(engine: grid_engine.GridEngine, start: Callable[..., Run]) -> None:
    run = start("one two")
    run.until_started("one.1", "two.1")
    os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait()
    assert list(engine.jobs().values()) == ["r", "r"]
    # As docs/cluster.md says.
    engine.run("qdel", "ls.*")
    run.until("no job is left", lambda: engine.jobs() == {})
    run.end_jobs()
    assert start("one two", "--unlock").process.wait() == 0
    start("one two").finish()


def test_what_the_cluster_refuses_is_one_line(engine: grid_engine.GridEngine, start: Callable[..., Run]) -> None:
    run = start("one", "--default-resources", "slurm_partition=nowhere", "--retries", "0")
    assert run.process.wait(PATIENCE_S) == 1
    [line] = [line for line in run.log().splitlines() if line.startswith("error:")]
    assert (
        'Grid Engine refuses the job: Unable to run job: Job was rejected because job requests unknown queue "nowhere"'
        in line
    )
    assert "Traceback" not in run.log()
