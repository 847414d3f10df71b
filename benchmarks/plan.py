"""How planning, aggregation and verification grow with the number of cells: python benchmarks/plan.py [--cells N ...].

For made-up grids of toy cells, 100 to an experiment: wall time, processor time and peak memory of

- a dry run of a project that has nothing yet, and of it what reading the configuration and the specs takes,
- a dry run after the edit of one cell in a finished project,
- the aggregate, from the stores of every cell, and `python -m largestep verify --stores`.

Nothing is trained: the stores hold random numbers and say that they were made from the settings and code of today, and
Snakemake's records are written by Snakemake for jobs that are not run. A plan that is not the right one is an error.
Goals are for processor time, which other work on the machine lengthens less.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import netCDF4
import numpy as np
import yaml
from bench import processor

from largestep import __version__, config, grid, sparsity, stages, store
from largestep.measures import RUN, linear_features
from largestep.recording import datasets, recorded_steps
from largestep.schedules import Schedule
from largestep.specs.cells import SparsitySpec, ToyTrainSpec

REPOSITORY = Path(__file__).resolve().parent.parent
SNAKEFILE = REPOSITORY / "workflow/Snakefile"
CELLS = (100, 1_000, 10_000)
# Of an experiment.
CELLS_EACH = 100
# For 10,000 cells, on two cores: seconds and bytes of a plan, bytes of an aggregation.
GOAL_CELLS, GOAL_S, GOAL_BYTES, GOAL_AGGREGATE_BYTES = 10_000, 60.0, 2e9, 4e9
LOOK_EVERY_S = 0.05
STORES = ("train", "snapshots", "features", "sparsity")
# Jobs after the edit of one cell beside figures and tables: its three, the spec of the aggregate, the aggregate, the
# claims, the scorecard and the target.
JOBS_AFTER_EDIT = 8


def main() -> None:
    """Print one block per size."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cells", nargs="+", type=int, default=CELLS, help=f"multiples of {CELLS_EACH}")
    arguments.add_argument("--plans", action="store_true", help="leave out aggregation and verification")
    arguments.add_argument("--finish", type=Path, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.finish:
        finish(options.finish)
        return
    print(f"{processor()}, {os.cpu_count()} cores; largestep {__version__}, Snakemake {snakemake_version()}")
    print(f"{'cells':>6s}  {'':45s}{'jobs':>7s}{'time':>9s}{'processor':>11s}{'memory':>9s}")
    missed = False
    for cells in options.cells:
        with tempfile.TemporaryDirectory() as folder:
            missed |= measure(Path(folder), cells, options.plans)
    if missed:
        sys.exit("a goal was missed")


def made_up(cells: int) -> dict[str, Any]:
    """A configuration of that many cells of diagonal networks that take a moment each; half of them decay."""
    experiments = {}
    for index in range(max(cells // CELLS_EACH, 1)):
        schedules: dict[str, Any] = {}
        for cell in range(min(cells, CELLS_EACH)):
            decay = {"decays": [{"at": 0.5, "divide_by": 4.0}]} if cell % 2 else {}
            schedules[f"cell_{cell:03d}"] = {"step_size": 0.1 + 0.001 * (cell // 2), **decay}
        experiments[f"grid_{index:03d}"] = {
            "title": f"Made-up grid {index}",
            "paper": "none",
            "scale": "laptop",
            "data": {
                **{"kind": "sparse_regression", "examples": 8, "dimension": 10, "support": 2},
                **{"test_examples": 20, "seed": index},
            },
            "model": {"kind": "diagonal", "u": 0.1, "v": 0.0},
            "training": {
                **{"steps": 401, "batch_size": 1, "loss": "half_mse", "seeds": 6, "arms": ["order"]},
                **{"evaluations": 20, "snapshots": 4},
            },
            "measures": {"rank_thresholds": [1.0e-15, 1.0e-4], "l0_thresholds": [1.0e-50, 1.0e-4]},
            "views": ["curves"],
            "cells": schedules,
        }
    return {"scale": "laptop", "experiments": experiments}


def measure(folder: Path, cells: int, plans: bool) -> bool:
    """Measure one size in an empty folder and print it; whether a goal was missed."""
    text = yaml.safe_dump(made_up(cells), sort_keys=False)
    path = folder / "config.yaml"
    path.write_text(text)
    settings = config.load(path)
    experiments = len(settings.experiments)
    before = time.process_time()
    own_share(path)
    ours = time.process_time() - before
    dry_run = [*snakemake(folder), "--dry-run"]
    used, output = timed(dry_run)
    missed = report(cells, "dry run of an empty project", planned(output), used, goal=GOAL_BYTES)
    print(f"{'':6s}  {'of which configuration and specs':45s}{'':16s}{ours:9.1f} s")

    if not plans:
        fill(folder / "results", settings)
    timed([sys.executable, __file__, "--finish", str(folder)])
    path.write_text(text.replace("step_size: 0.1\n", "step_size: 0.5\n", 1))
    used, output = timed(dry_run)
    wanted = JOBS_AFTER_EDIT + 2 * experiments
    if (jobs := planned(output)) != wanted:
        sys.exit(f"error: {jobs} jobs are planned after an edit of one cell, not {wanted}:\n{output[-2000:]}")
    missed |= report(cells, "dry run after an edit of one cell", jobs, used, goal=GOAL_BYTES)
    path.write_text(text)
    if not plans:
        specs = folder / "results/specs"
        (specs / "aggregate.json").write_text(grid.aggregate_spec(settings))
        (specs / "claims.json").write_text(grid.claims_spec(settings))
        tree = ["--spec-file", str(specs / "aggregate.json"), "--output", str(folder / "results/largestep.nc")]
        used, _ = timed([sys.executable, "-m", "largestep.aggregate", *tree], folder)
        missed |= report(cells, "aggregate", 1, used, goal=GOAL_AGGREGATE_BYTES)
        used, output = timed([sys.executable, "-m", "largestep", "verify", "--stores"], folder)
        report(cells, f"verify: {output.splitlines()[-1].partition(';')[0]}", 1, used)
    return missed


class Used(NamedTuple):
    """What a command took: wall time and processor time in seconds, peak memory of its main process in bytes."""

    wall: float
    processor: float
    memory: float


def report(cells: int, what: str, jobs: int, used: Used, goal: float | None = None) -> bool:
    """Print a line; whether it misses its goal, which is for the largest size: bytes, and for plans seconds."""
    has_goal = cells == GOAL_CELLS and goal is not None
    ok = not has_goal or (used.memory <= goal and (used.processor <= GOAL_S or what == "aggregate"))
    verdict = ("  ok" if ok else "  short") if has_goal else ""
    took = f"{used.wall:7.1f} s{used.processor:9.1f} s{used.memory / 1e6:6.0f} MB"
    print(f"{cells:6d}  {what:45s}{jobs:7d}{took}{verdict}", flush=True)
    return not ok


def own_share(path: Path) -> None:
    """What the Snakefile does before and while Snakemake plans: read, validate, and give every job its params."""
    settings = config.parse(config.read(path), source=str(path))
    grid.results_key(settings)
    grid.aggregate_spec(settings)
    for cell in grid.cells(settings).values():
        for stage in ("train", "features", "sparsity"):
            cell.spec(stage)
            cell.code(stage)


def snakemake(folder: Path) -> list[str]:
    """The command that runs this workflow in a folder."""
    program = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--directory", str(folder)]
    return [*program, "--cores", "2"]


def snakemake_version() -> str:
    """Version of Snakemake."""
    program = [sys.executable, "-m", "snakemake", "--version"]
    return subprocess.run(program, check=True, capture_output=True, text=True).stdout.strip()


def timed(command: list[str], folder: Path | None = None) -> tuple[Used, str]:
    """What a command takes, and its standard output."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start, before, memory = time.perf_counter(), os.times(), 0.0
        process = subprocess.Popen(command, stdout=output, stderr=errors, cwd=folder, env=environment)
        # The peak that the system counts of a child begins with that of its parent, which is large here.
        while process.poll() is None:
            memory = max(memory, peak(process.pid))
            time.sleep(LOOK_EVERY_S)
        wall, after = time.perf_counter() - start, os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            sys.exit(f"error: {' '.join(command)}:\n{output.read()[-2000:]}{errors.read()[-2000:]}")
        return Used(wall, spent, memory), output.read()


def peak(process: int) -> float:
    """Peak memory of a process so far, in bytes; 0 for one that is ending."""
    try:
        line = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    except OSError:
        return 0.0
    return 1024.0 * int(line.group(1)) if line else 0.0


def planned(output: str) -> int:
    """Number of jobs of a dry run."""
    line = re.search(r"^total\s+(\d+)", output, flags=re.MULTILINE)
    return int(line.group(1)) if line else 0


def fill(results: Path, settings: config.Config) -> None:
    """Write the stores of every cell: random numbers of the first one, with the settings of each."""
    clock = store.Clock()
    cells = grid.cells(settings)
    first = next(iter(cells.values()))
    spec = SparsitySpec.read(first.spec("sparsity"))
    trained = spec.features.train
    data = stages.worker("data", "sparse_regression").draw(trained.data.data, 0)
    losses, snapshots = invented(trained)
    features = linear_features.features(trained.model, spec.features.measures, data, snapshots, label="plan", threads=1)
    features = features.assign_coords({name: snapshots.variables[name] for name in RUN})
    made = {
        "train": losses,
        "snapshots": snapshots,
        "features": features,
        "sparsity": sparsity.measures(features, spec.measures),
    }
    templates = results / "templates"
    for name, dataset in made.items():
        write(templates / f"{name}.nc", dataset, "train" if name == "snapshots" else name, first, clock)
    written = {name: store.read(templates / f"{name}.nc") for name in made}
    for name in settings.experiments:
        cell = next(cell for cell in cells.values() if cell.experiment == name)
        write(results / "data" / f"{name}.nc", data, "data", cell, clock)
    for cell in cells.values():
        folder = results / "cells" / cell.id
        folder.mkdir(parents=True)
        for name in STORES:
            stage = "train" if name == "snapshots" else name
            path = folder / f"{name}.nc"
            shutil.copy(templates / f"{name}.nc", path)
            attributes = {"spec": cell.spec(stage), "code_fingerprint": cell.code(stage)}
            attributes["content_sha256"] = store.content_digest(written[name].assign_attrs(attributes))
            with netCDF4.Dataset(path, "a") as file:
                file.setncatts(attributes)
    shutil.rmtree(templates)


def invented(spec: ToyTrainSpec) -> tuple[Any, Any]:
    """Losses and snapshots like those of training, of random numbers."""
    training, draw = spec.training, np.random.default_rng(0)
    schedule = Schedule(spec.schedule, training.steps, training.decay_after_update)
    evaluations, kept = recorded_steps(training.steps, training.evaluations, training.snapshots)
    runs = training.seeds * len(training.arms)
    curves = {name: (draw.random((runs, len(evaluations))), "1", name) for name in ("train_loss", "test_loss")}
    parameters = draw.normal(size=(runs, len(kept), 2 * spec.data.data.dimension))
    return datasets(
        training,
        training.steps,
        schedule,
        curves,
        parameters,
        np.full(runs, -1),
        np.zeros(runs, dtype=np.int64),
    )


def write(path: Path, dataset: Any, stage: str, cell: grid.Cell, clock: store.Clock) -> None:
    """Write a store of a cell."""
    store.write(
        path, dataset, title="made up", stage=stage, spec=cell.spec(stage), code=cell.code(stage), seeds="", clock=clock
    )


def finish(folder: Path) -> None:
    """Have Snakemake record every job as done without running it; files that are not there become empty ones."""
    from snakemake import cli
    from snakemake.scheduling.job_scheduler import JobScheduler

    def schedule(self: Any) -> bool:
        dag, persistence = self.workflow.dag, self.workflow.persistence
        for job in dag.jobs:
            for file in map(Path, job.output):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
            if job.output:
                self.workflow.async_run(persistence.finished(job))
        return True

    JobScheduler.schedule = schedule
    arguments = [*snakemake(folder)[3:], "--forceall", "--quiet", "all"]
    sys.argv = ["snakemake", *arguments]
    cli.main(arguments)


if __name__ == "__main__":
    main()
