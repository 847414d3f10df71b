"""`largestep cells`, `show` and `why` of the tiny project, before and after an edit."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests import forked
from tests.conftest import Project


def ask(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.run(project.folder, "largestep", *arguments, PYTHONPATH=str(project.folder / "src"))


def test_cells_of_a_study_that_changes(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    cells = json.loads(ask(project, "cells", "--json").stdout)
    assert {each["state"] for each in cells} <= {"done", "diverged"}
    assert next(each for each in cells if each["cell"] == "diagonal.small") == {
        **{"cell": "diagonal.small", "state": "done", "runs": 12, "diverged": 0}
    }
    assert "nothing would run" in ask(project, "why", "diagonal.small").stdout

    [data, train, *_] = json.loads(ask(project, "show", "diagonal.small", "--json").stdout)
    assert data["path"] == "results/data/diagonal.nc"
    sizes = train["variables"]["test_loss"]["sizes"]
    assert (sizes["arm"], sizes["seed"]) == (2, 6)
    assert f"test_loss (arm 2, seed 6, step {sizes['step']}) [1]:" in ask(project, "show", "diagonal.small").stdout

    (project.folder / "results/cells/points.decay2/sparsity.nc").unlink()
    (project.folder / "results/cells/teacher.small/features.nc").write_bytes(b"damaged")
    project.edit("config.yaml", "small: {step_size: 0.1, published", "small: {step_size: 0.11, published")
    states = dict(line.split()[:2] for line in ask(project, "cells").stdout.splitlines())
    assert (states["diagonal.small"], states["diagonal.decay50"]) == ("stale", "done")
    assert (states["points.decay2"], states["teacher.small"]) == ("missing", "damaged")
    why = json.loads(ask(project, "why", "diagonal.small", "--json").stdout)
    assert {each["path"].rpartition("/")[2] for each in why} == {
        "train.nc",
        "snapshots.nc",
        "features.nc",
        "sparsity.nc",
    }
    assert all("step_size 0.1 -> 0.11" in each["why"] for each in why), why


def test_what_cannot_be_asked_is_one_line(finished: Project) -> None:
    done = ask(finished, "why", "diagonal.smal")
    assert done.returncode != 0
    assert done.stderr.startswith("error: there is no cell diagonal.smal at scale laptop; see diagonal.decay50,")
    assert "Traceback" not in done.stderr
