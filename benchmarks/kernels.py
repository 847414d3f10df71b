"""CPU time of the kernels of toy networks, of this tree over another commit's: python benchmarks/kernels.py COMMIT.

A process of each tree trains the same runs in turns, again and again, so that what else the machine does meets both;
of each the fastest time counts. The other commit's first call compiles its kernels. Both call what has stayed the same
since commit 306f916: the trainer of a cell and the study of flows. The exit status is 1 where their numbers differ or a
row lost more than `ALLOWED`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from largestep import config, grid, stages

try:
    from largestep.specs import cells as specs
    from largestep.specs.studies import StudySpec
except ImportError:  # a tree of before, whose trainers and studies take mappings
    specs = None

REPOSITORY = Path(__file__).resolve().parent.parent
# This tree's time over the other's.
ALLOWED = 1.03
TURNS = 40
SEEDS = 10
CELLS = {
    "1-D": "regression_1d.decay2",
    "two-layer": "two_layer.small",
    "three-layer": "three_layer.small",
    "diagonal": "diagonal_sgd.small",
}
# What is changed in the training of a cell. Evaluations cut the steps into calls of the kernels.
RULES: dict[str, dict[str, Any]] = {
    "one example": {"steps": 4000, "evaluations": 2},
    "one example, calls of 100": {"steps": 4000, "evaluations": 40},
    "all examples": {"steps": 400, "evaluations": 1, "batch_size": "full"},
    "four examples, momentum": {"steps": 1000, "evaluations": 1, "batch_size": 4, "momentum": 0.9},
    "one example, uphill": {"steps": 2000, "evaluations": 1, "sam_radius": 0.01},
}
FLOWS = ("flows_1d", "flows_diagonal")


def main() -> None:
    """Compare, or with --serve run for one tree what standard input asks for."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("commit", nargs="?", help="what to compare with")
    arguments.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.serve:
        return serve()
    if not options.commit:
        arguments.error("give the commit to compare with")
    from study import cloned

    with tempfile.TemporaryDirectory() as folder:
        trees = REPOSITORY, cloned(options.commit, Path(folder) / "other")
        sides = [_Side(tree, Path(folder) / f"kernels{i}") for i, tree in enumerate(trees)]
        if not compare(sides, options.commit):
            sys.exit(1)


def compare(sides: list[_Side], name: str) -> bool:
    """Print a line for each row; whether all have the same numbers and none lost more than is allowed."""
    from largestep.machine import processor

    print(f"{processor()}, {os.cpu_count()} cores, 1 thread; CPU time, the least of {TURNS} turns")
    print(f"{'':40s}{'this tree':>12s}{name[:9]:>12s}{'ratio':>8s}")
    good = True
    for row, job in jobs():
        same = len({side.ask(job)[1] for side in sides}) == 1  # and compiles
        ours, theirs = np.array([[side.ask(job)[0] for side in sides] for _ in range(TURNS)]).min(axis=0)
        verdict = "RESULTS DIFFER" if not same else "ok" if ours <= ALLOWED * theirs else "short"
        print(f"{row:40s}{1e3 * ours:9.1f} ms{1e3 * theirs:9.1f} ms{ours / theirs:8.3f}  {verdict}", flush=True)
        good = good and verdict == "ok"
    return good


def jobs() -> Iterator[tuple[str, str]]:
    """What each row is called, and what both trees are asked to do for it, as JSON."""
    settings = config.load(REPOSITORY / "config.yaml")
    cells = grid.cells(settings)
    for network, cell in CELLS.items():
        spec = json.loads(cells[cell].spec("train"))
        for rule, changed in RULES.items():
            training = spec["training"] | {"arms": ["order"], "seeds": SEEDS, "snapshots": 1} | changed
            yield f"{network}, {rule}", json.dumps({"cell": spec | {"training": training}})
    for name in FLOWS:
        spec = json.loads(grid.study_spec(settings, name))
        spec["settings"] |= {"seeds": 3, "pairs": 1, "snapshots": 1}
        (experiment,) = spec["experiments"].values()
        experiment["training"] |= {"steps": 2000, "evaluations": 4}
        yield f"{name}: watched, SDE, flow", json.dumps({"study": spec})


class _Side:
    """A process that works with the code of one tree."""

    def __init__(self, tree: Path, kernels: Path) -> None:
        environment = {"PYTHONPATH": str(tree / "src"), "NUMBA_CACHE_DIR": str(kernels), "TQDM_DISABLE": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(REPOSITORY / "benchmarks/kernels.py"), "--serve"],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, job: str) -> tuple[float, str]:
        """CPU seconds of a job and the digest of its numbers."""
        assert self._process.stdin
        assert self._process.stdout
        print(job, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline().split()
        if len(answer) != 2:
            sys.exit("error: one of both trees cannot do this, see above")
        return float(answer[0]), answer[1]


def serve() -> None:
    """Answer every line of standard input, a job, with the CPU seconds it took and the digest of its numbers."""
    for line in sys.stdin:
        job = json.loads(line)
        started = time.process_time()
        dataset = _trained(job["cell"]) if "cell" in job else _studied(job["study"])
        took = time.process_time() - started
        numbers = hashlib.sha256(b"".join(value.values.tobytes() for _, value in sorted(dataset.data_vars.items())))
        print(took, numbers.hexdigest(), flush=True)


def _trained(spec: dict[str, Any]) -> xr.Dataset:
    data, worker = _data(json.dumps(spec["data"])), stages.worker("train", spec["model"]["kind"])
    if specs is None:
        curves, kept = worker.train(spec, data, 1)
    else:
        cell = specs.ToyTrainSpec.model_validate(spec)
        curves, kept = worker.train(cell.model, cell.training, cell.schedule, data, label="bench", threads=1)
    return xr.Dataset({"loss": curves["train_loss"], "parameters": kept["parameters"]})


def _studied(spec: dict[str, Any]) -> xr.Dataset:
    told = spec if specs is None else StudySpec.model_validate(spec)
    study: xr.Dataset = stages.worker("studies", spec["settings"]["kind"]).study(told, 1)
    return study[["train_loss", "loss_sample"]]


@cache
def _data(settings: str) -> xr.Dataset:
    spec = json.loads(settings)
    told = spec["data"] if specs is None else specs.DataSpec.model_validate(spec).data
    drawn: xr.Dataset = stages.worker("data", spec["data"]["kind"]).draw(told, 0)
    return drawn


if __name__ == "__main__":
    main()
