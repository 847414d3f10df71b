"""A grid of thirty cells is planned, aggregated and verified; `make bench-plan` goes to ten thousand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def test_thirty_cells(repository: Path) -> None:
    """The command itself checks that an edit of one cell plans that cell and the aggregates, and nothing else."""
    command = [sys.executable, str(repository / "benchmarks/plan.py"), "--cells", "30"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = re.findall(r"^ +30 +(.*?) +(\d+) +[\d.]+ s +[\d.]+ s +\d+ MB", done.stdout, flags=re.MULTILINE)
    jobs = {what: int(count) for what, count in lines}
    assert jobs["dry run of an empty project"] == 30 * 3 + 9
    assert jobs["dry run after an edit of one cell"] == 10
    # Stores of train, snapshots, features and sparsity, of data, the aggregate, two specs, twelve tables and figures.
    assert "verify: 136 of 136 files are fresh" in jobs
