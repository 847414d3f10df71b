"""A wheel, installed in a path with spaces, makes the stores that the checkout makes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import xarray as xr

from tests.conftest import REPOSITORY, Project

WHEEL = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
# All stages of a cell, by the specs that its stores hold; argv: the folder of the results of the checkout.
STAGES = """
import runpy, sys
from pathlib import Path
import largestep
from largestep import store

made, here = Path(sys.argv[1]), Path("results")
cell = "cells/diagonal.small"
for stage, output, given in (
    ("data", "data/diagonal.nc", []),
    ("train", f"{cell}/train.nc", ["--data", "data/diagonal.nc", "--snapshots", f"{cell}/snapshots.nc"]),
    ("features", f"{cell}/features.nc", ["--data", "data/diagonal.nc", "--snapshots", f"{cell}/snapshots.nc"]),
    ("sparsity", f"{cell}/sparsity.nc", ["--features", f"{cell}/features.nc"]),
):
    spec = store.read(made / output).attrs["spec"]
    paths = [word if word.startswith("--") else str(here / word) for word in given]
    sys.argv = [stage, "--spec", spec, *paths, "--output", str(here / output)]
    runpy.run_module(f"largestep.{stage}", run_name="__main__")
print(largestep.__file__)
"""


def test_a_cell_is_the_same_from_a_wheel(finished: Project, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(REPOSITORY / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    subprocess.run([sys.executable, "-c", WHEEL, str(tmp_path)], cwd=source, check=True, capture_output=True)
    [wheel] = tmp_path.glob("largestep-*.whl")
    site, folder = tmp_path / "an environment/site packages", tmp_path / "a run of mine"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (folder / "results/cells/diagonal.small").mkdir(parents=True)
    (folder / "results/data").mkdir()
    shutil.rmtree(source)

    environment = os.environ | {"PYTHONPATH": str(site), "NUMBA_CACHE_DIR": str(tmp_path / "the cache")}
    command = [sys.executable, "-c", STAGES, str(finished.folder / "results")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))
    paths = sorted(path.relative_to(folder) for path in folder.glob("results/**/*.nc"))
    assert len(paths) == 5
    for path in paths:
        with xr.open_dataset(folder / path) as ours, xr.open_dataset(finished.folder / path) as theirs:
            # The checksum of every bit, the spec and the code among them; not when, how fast, with how many threads and
            # which BLAS besides: a process of the tests has loaded more than it needs.
            for key in theirs.attrs.keys() - {"created", "wall_time_s", "threads", "blas"}:
                assert ours.attrs[key] == theirs.attrs[key], f"{path}: {key}"
            assert ours.drop_attrs().identical(theirs.drop_attrs())
