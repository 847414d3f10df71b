"""docs/cluster.md: snakesee says how far a run is, with no change to the run."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import Project

# The second waits until it is told to end.
TWO_JOBS = """
rule all:
    input: "second.txt"
rule first:
    output: "first.txt"
    shell: "touch {output}"
rule second:
    input: "first.txt"
    output: "second.txt"
    shell: "touch started; until [ -e go ]; do sleep 0.1; done; touch {output}"
"""


def status(folder: Path) -> str:
    program = Path(sys.executable).parent / "snakesee"
    return subprocess.run([program, "status"], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_of_a_run_that_was_started_without_it(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(TWO_JOBS)
    with subprocess.Popen([sys.executable, "-m", "snakemake", "--cores", "1"], cwd=tmp_path) as run:
        try:
            while not (tmp_path / "started").exists():
                assert run.poll() is None
                time.sleep(0.1)
            # Snakemake writes its records a moment later.
            deadline = time.monotonic() + 30
            while "1/3" not in (seen := status(tmp_path)) and time.monotonic() < deadline:
                time.sleep(0.1)
        finally:
            (tmp_path / "go").touch()
    assert run.returncode == 0
    assert "Status: RUNNING" in seen
    assert "Progress: 1/3" in seen
    assert "Progress: 3/3" in status(tmp_path)


def test_of_a_whole_run(finished: Project) -> None:
    before = sorted(finished.folder.rglob("*"))
    seen = status(finished.folder)
    assert "Status: COMPLETED" in seen
    done, of = re.search(r"Progress: (\d+)/(\d+)", seen).groups()  # type: ignore[union-attr]
    assert done == of
    assert int(done) > 50
    # It reads only.
    assert sorted(finished.folder.rglob("*")) == before
