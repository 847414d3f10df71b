"""The whole workflow on tiny settings: what it makes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import xarray as xr

from largestep import store
from tests.conftest import Project


def test_makes_what_the_contract_names(finished: Project) -> None:
    results = finished.folder / "results"
    for cell in ("diagonal.small", "points.decay2", "teacher.small", "digits.decay50"):
        for stage in ("train", "features", "sparsity"):
            dataset = store.read(results / "cells" / cell / f"{stage}.nc")
            assert dataset.attrs["stage"] == stage
            assert {"spec", "code_fingerprint", "seeds", "machine", "wall_time_s", "version_numpy"} <= set(
                dataset.attrs
            )
            assert all({"units", "long_name"} <= set(v.attrs) for v in dataset.variables.values())
    for study in ("label_noise", "bouncing", "phase_diagram", "flows", "sharpness", "controls"):
        assert store.read(results / "studies" / f"{study}.nc").attrs["stage"] == "studies"
    with xr.open_datatree(results / "largestep.nc") as tree:
        assert set(tree.children) == {"diagonal", "points", "teacher", "digits", "digits_mlp", "studies"}
        assert {"flows", "controls"} <= set(tree["studies"].children)
    assert (results / "figures/points_fits.pdf").read_bytes().startswith(b"%PDF")
    assert (results / "tables/digits.tex").stat().st_size > 0
    assert (results / "figures/loss_slice.gif").read_bytes().startswith(b"GIF89a")
    every = [f"C{number}" for number in range(1, 25)]
    assert pd.read_csv(results / "summary.csv")["claim"].tolist() == every
    table = pd.read_csv(results / "claims.csv")
    assert set(table["claim"]) == set(every)
    assert ",".join(table.columns) == (
        "claim,experiment,statistic,estimate,low,high,seeds,diverged,without_value,unit,criterion,verdict,survivors,note,"
        "headline"
    )


def test_stores_keep_to_the_cf_conventions(finished: Project, tmp_path: Path) -> None:
    """A store of every stage, and every group of the aggregate as a file: the checker looks at no group."""
    results = finished.folder / "results"
    files = [results / "cells/digits.decay50" / f"{stage}.nc" for stage in ("train", "features", "sparsity")]
    files += [results / "data/teacher.nc", results / "studies/bouncing.nc"]
    experiments, studies = store.read_all(results / "largestep.nc")
    for name, group in {**experiments, **{f"study_{name}": study for name, study in studies.items()}}.items():
        files.append(tmp_path / f"{name}.nc")
        store.write(files[-1], group, title=name, stage="aggregate", spec="", code="", seeds="", clock=store.Clock())
    command = [str(Path(sys.executable).parent / "compliance-checker"), "--test=cf:1.11", "--criteria=lenient"]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.count("All tests passed!")) == (0, len(files)), done.stdout + done.stderr


def test_what_the_scale_does_not_run_is_in_the_table(finished: Project) -> None:
    table = pd.read_csv(finished.folder / "results/claims.csv")
    later = table[table["experiment"] == "later"]
    assert set(later["verdict"]) == {"not run"}
    assert later["note"].str.contains("scale=paper").all()


def test_every_job_has_a_log_and_a_benchmark(finished: Project) -> None:
    results = finished.folder / "results"
    logs = {p.relative_to(results / "logs").with_suffix("") for p in (results / "logs").rglob("*.log")}
    benchmarks = {
        p.relative_to(results / "benchmarks").with_suffix("") for p in (results / "benchmarks").rglob("*.tsv")
    }
    assert logs == benchmarks
    assert Path("train/digits.small.0-1") in logs
    assert "seed" in (results / "logs/train/digits.small.0-1.log").read_text()


def test_what_a_killed_job_continues_from_and_snapshots_of_images_are_gone(finished: Project) -> None:
    results = finished.folder / "results"
    assert not list(results.glob("checkpoints/*"))
    assert not list(results.glob("cells/digits*/**/snapshots.nc"))
    assert (results / "cells/diagonal.small/snapshots.nc").exists()


def test_report(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    done = project.snakemake("--cores", "1", "--report", "results/report.html")
    # Captions are reStructuredText, which Snakemake shows as far as docutils understands it.
    assert not re.findall(r".*\((?:WARNING|ERROR|SEVERE)/\d\).*", done.stderr + done.stdout)
    text = (project.folder / "results/report.html").read_text()
    assert "points_fits" in text
    assert "Which claims hold" in text
    assert "Large steps align neurons" in text  # of the summary on the first page


def test_stale_store_is_refused(finished: Project, tmp_path: Path) -> None:
    """A store of another cell, put in place of the right one, ends the next stage with one line."""
    folder = tmp_path / "project"
    project = finished.copy(folder)
    cells = folder / "results/cells"
    (cells / "diagonal.small/features.nc").write_bytes((cells / "diagonal.decay50/features.nc").read_bytes())
    done = project.snakemake(
        "--cores", "1", "--forcerun", "sparsity", "--", "results/cells/diagonal.small/sparsity.nc", check=False
    )
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "results/cells/diagonal.small/features.nc: belongs to diagonal.decay50" in output
    assert "Traceback" not in output
