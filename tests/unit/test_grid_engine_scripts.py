"""What the profile for Grid Engine asks qsub for, and what it makes of the answers of qstat and qacct."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PENDING = """<job_list state="pending"><JB_job_number>{}</JB_job_number><state>{}</state></job_list>"""
QUEUE = """<Queue-List><name>all.q@node</name><state>{}</state>{}</Queue-List>"""
RESOURCES = {"runtime": 30, "mem_mb": 3000, "gpu": 0}


def qstat(queues: str = "", pending: str = "") -> str:
    return f"cat <<'E'\n<job_info><queue_info>{queues}</queue_info><job_info>{pending}</job_info></job_info>\nE"


class Site:
    """A folder with pretended programs of Grid Engine, which keep what they are asked."""

    def __init__(self, repository: Path, folder: Path) -> None:
        self.scripts, self.folder, self.asked = repository / "workflow/profiles/sge", folder, folder / "asked"
        (folder / "bin").mkdir()
        # Nothing else, since a real Grid Engine may be there.
        (folder / "bin/python3").symlink_to(Path(sys.executable).resolve())
        (folder / "bin/cat").symlink_to(shutil.which("cat") or "cat")
        (folder / "results/logs/sge").mkdir(parents=True)

    def has(self, program: str, script: str) -> None:
        file = self.folder / "bin" / program
        file.write_text(f'#!/bin/sh\necho {program} "$@" >> {self.asked}\n{script}\n')
        file.chmod(0o755)

    def run(self, script: str, *words: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PATH": f"{self.folder}/bin"}
        command = [str(self.scripts / script), *words]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)

    def submit(self, properties: dict[str, object]) -> subprocess.CompletedProcess[str]:
        (self.folder / "job.sh").write_text(f"#!/bin/sh\n# properties = {json.dumps(properties)}\ntrue\n")
        return self.run("submit.py", "job.sh")


@pytest.fixture
def site(repository: Path, tmp_path: Path) -> Site:
    return Site(repository, tmp_path)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (qstat(pending=PENDING.format(7, "qw")), "running"),
        (qstat(QUEUE.format("", PENDING.format(7, "r"))), "running"),
        (qstat(QUEUE.format("", PENDING.format(7, "dr"))), "failed"),
        (qstat(QUEUE.format("au", PENDING.format(7, "dr"))), "failed"),
        ("echo no answer >&2; exit 1", "running"),
    ],
    ids=["waits", "runs", "deleted while it runs", "deleted after its node was lost", "no answer"],
)
def test_status_of_a_job_in_the_queue(site: Site, answer: str, status: str) -> None:
    site.has("qstat", answer)
    assert site.run("status.py", "7").stdout == f"{status}\n"
    assert site.asked.read_text().count("\n") == 1


@pytest.mark.parametrize(
    "answer",
    [qstat(pending=PENDING.format(7, "Eqw")), qstat(QUEUE.format("au", PENDING.format(7, "r")))],
    ids=["cannot be started", "on a node that is lost"],
)
def test_what_would_wait_for_ever_is_deleted(site: Site, answer: str) -> None:
    site.has("qstat", answer)
    site.has("qdel", "echo registered for deletion")
    assert site.run("status.py", "7").stdout == "failed\n"
    assert site.asked.read_text().endswith("qdel 7\n")


@pytest.mark.parametrize(
    ("accounts", "status"),
    [
        ("failed 0\nexit_status 0", "success"),
        ("failed 0\nexit_status 1", "failed"),
        ("failed 100 : assumedly after job\nexit_status 137", "failed"),
        # Started again by Grid Engine.
        ("failed 25 : rescheduling\nexit_status 0\n===\nfailed 0\nexit_status 0", "success"),
    ],
)
def test_status_of_a_job_that_has_ended(site: Site, accounts: str, status: str) -> None:
    site.has("qstat", qstat(pending=PENDING.format(77, "qw")))
    site.has("qacct", f"echo '{accounts}'")
    assert site.run("status.py", "7").stdout == f"{status}\n"


def test_a_job_that_nothing_is_known_of_has_failed_after_a_while(site: Site) -> None:
    site.has("qstat", qstat())
    site.has("qacct", "echo 'error: job id 7 not found' >&2; exit 1")
    assert site.run("status.py", "7").stdout == site.run("status.py", "7").stdout == "running\n"
    [mark] = (site.folder / "results/logs/sge").iterdir()
    os.utime(mark, (0, 0))
    assert site.run("status.py", "7").stdout == "failed\n"
    assert not mark.exists()


def test_accounts_that_come_late(site: Site) -> None:
    site.has("qstat", qstat())
    site.has("qacct", "exit 1")
    assert site.run("status.py", "7").stdout == "running\n"
    site.has("qacct", "echo 'failed 0\nexit_status 0'")
    assert site.run("status.py", "7").stdout == "success\n"
    assert not list((site.folder / "results/logs/sge").iterdir())


def test_what_a_job_asks_for(site: Site) -> None:
    """Memory that its node has free, and no limit: torch takes more addresses than memory."""
    site.has("qsub", "echo 7")
    assert site.submit({"rule": "train", "threads": 1, "resources": RESOURCES}).stdout == "7\n"
    asked = site.asked.read_text()
    assert "-N ls.train -l h_rt=1800,mem_free=3000M job.sh" in asked
    assert "vmem" not in asked
    where = {"slurm_account": "research", "slurm_partition": "gpu.q"}
    site.submit({"groupid": "data", "threads": 4, "resources": {**RESOURCES, **where, "gpu": 1}})
    assert "-N ls.data -P research -q gpu.q -pe smp 4 -l h_rt=1800,mem_free=3000M,gpu=1" in site.asked.read_text()


def test_a_cluster_that_refuses_says_so_in_one_line(site: Site) -> None:
    properties = {"rule": "train", "threads": 1, "resources": RESOURCES}
    done = site.submit(properties)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: there is no qsub here")
    site.has("qsub", "echo 'Unable to run job: unknown resource \"gpu\".'; echo Exiting. >&2; exit 1")
    done = site.submit(properties)
    assert (done.returncode, done.stdout) == (1, "")
    said = 'Unable to run job: unknown resource "gpu". Exiting.'
    assert done.stderr.startswith(f"error: Grid Engine refuses the job: {said}; qsub -terse")
    assert done.stderr.count("\n") == 1
