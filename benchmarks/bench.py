"""Speed of the kernels and measures against plain code, on one thread: python benchmarks/bench.py.

Every row first checks that both sides give the same result; the exit status is 1 where they do not. A
ratio below its goal is marked `short`. Times are the best of a few repeats, on both sides.
"""

from __future__ import annotations

import os

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM")}
os.environ |= THREADS  # the libraries read these when they are imported

import platform  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import plain  # noqa: E402
import torch  # noqa: E402
import xarray as xr  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from largestep import config, grid  # noqa: E402
from largestep.data import points, sparse_regression, teacher_student  # noqa: E402
from largestep.machine import processor  # noqa: E402
from largestep.measures.thresholds import rank  # noqa: E402
from largestep.models import dense  # noqa: E402
from largestep.schedules import Schedule  # noqa: E402
from largestep.specs.cells import ToyTrainSpec  # noqa: E402
from largestep.toys import train as toy  # noqa: E402
from largestep.toys.network import network  # noqa: E402
from largestep.toys.runs import Problem, Runs  # noqa: E402

Array = NDArray[np.float64]
ROOT = Path(__file__).resolve().parent.parent
DRAW = {"points": points, "teacher_student": teacher_student, "sparse_regression": sparse_regression}
SEEDS = 20
PLAIN_STEPS = 2500
LAST = -1


class Case:
    """A cell of config.yaml: its data, and what the kernels need to train a few seeds of it."""

    def __init__(self, cell: str) -> None:
        chosen = grid.cells(config.load(ROOT / "config.yaml"))[cell]
        self.spec = ToyTrainSpec.read(chosen.spec("train"))
        settings = self.spec.data.data
        self.data: xr.Dataset = DRAW[settings.kind].draw(settings, 0)

    def sizes(self) -> Array:
        """Step size of every step."""
        training = self.spec.training
        return Schedule(self.spec.schedule, training.steps, training.decay_after_update).sizes

    def indices(self, steps: int) -> NDArray[np.int64]:
        """One example a step for every seed: (seeds, steps, 1)."""
        return np.random.default_rng(0).integers(self.data.sizes["example"], size=(SEEDS, steps, 1))

    def checkpoints(self, seeds: int) -> tuple[Array, Array]:
        """Parameters (checkpoints, p) of trained seeds, from start to end, and the inputs of their Jacobians."""
        training = self.spec.training.model_copy(update={"seeds": seeds, "arms": ["order"]})
        _, kept = toy.train(self.spec.model, training, self.spec.schedule, self.data, label="bench", threads=1)
        flat = kept["parameters"].values.reshape(-1, kept.sizes["parameter"])
        return flat[np.isfinite(flat).all(axis=1)], self.data["rank_inputs"].values[: flat.shape[1]]


class Dense(Case):
    """A cell of a dense ReLU network."""

    def __init__(self, cell: str) -> None:
        super().__init__(cell)
        self.layers = self.spec.model.layers
        self.inputs = self.data.sizes["input"]
        self.initial = np.stack([dense.draw(self.inputs, self.layers, seed) for seed in range(SEEDS)])

    def train(self, indices: NDArray[np.int64]) -> Array:
        """Final parameters of every seed."""
        return _trained(self, self.initial.copy(), indices, self.sizes()[: indices.shape[1]])

    def train_plainly(self, indices: NDArray[np.int64]) -> Array:
        """Final parameters of the first seed."""
        net = self.network(self.initial[0])
        x, y = (torch.tensor(self.data[name].values[0]) for name in ("train_inputs", "train_labels"))
        plain.sgd(net, x, y, indices[0], self.sizes()[: indices.shape[1]])
        return torch.nn.utils.parameters_to_vector(net.parameters()).detach().numpy()

    def network(self, flat: Array) -> torch.nn.Sequential:
        """The network of flat parameters."""
        net = dense.network(self.inputs, self.layers)
        torch.nn.utils.vector_to_parameters(torch.tensor(flat), net.parameters())
        return net


class Row:
    """One line of the output."""

    def __init__(
        self, name: str, unit: str, ours: float, plain: float, goal: float, same: bool, note: str = ""
    ) -> None:
        factor = {"s": 1.0, "ms": 1e3, "us": 1e6}[unit]
        self.same = same
        verdict = ("ok" if plain / ours >= goal else "short") if same else "RESULTS DIFFER"
        self.text = (
            f"{name:<46}{factor * ours:>9.3f} {unit:<3}{factor * plain:>10.2f} {unit:<3}"
            f"{plain / ours:>7.0f}x {goal:>5.0f}x  {verdict:<6}{note}"
        ).rstrip()


def main() -> int:
    """Print every row; 1 where results differ."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    print(f"{processor()}, {os.cpu_count()} cores, 1 thread; Python {platform.python_version()}, ", end="")
    print(f"torch {torch.__version__}, numpy {np.__version__}")
    print(f"{'':<46}{'ours':>12} {'plain':>13}{'ratio':>8}  {'goal':>5}")
    same = True
    for row in _rows():
        print(row.text, flush=True)
        same = same and row.same
    print(f"{time.perf_counter() - started:.0f} s in all")
    return 0 if same else 1


def _rows() -> Iterator[Row]:
    one_dimensional, two_layer = Dense("regression_1d.decay2"), Dense("two_layer.small")
    yield _steps("1-D net 1-100-1", one_dimensional)
    yield _steps("two-layer net 2-20-1", two_layer)
    yield _steps("three-layer net 5-10-10-1", Dense("three_layer.small"))
    yield _cold(one_dimensional)
    yield _diagonal_steps(Case("diagonal_sgd.small"))
    yield _ranks("1-D net", Dense("regression_1d.decay50"), seeds=3)
    yield _ranks("two-layer net", two_layer, seeds=5)
    yield _diagonal_ranks(Case("diagonal_sgd.decay50"))


def _steps(name: str, case: Dense) -> Row:
    first = case.indices(100)
    same = _close(case.train(first)[0], case.train_plainly(first), 1e-8)
    indices = case.indices(PLAIN_STEPS)
    ours = _best(lambda: case.train(indices), 5) / indices.size
    theirs = _best(lambda: case.train_plainly(indices), 3) / PLAIN_STEPS
    return Row(f"SGD step, {name}, a seed", "us", ours, theirs, 500, same)


def _cold(case: Dense) -> Row:
    sizes = case.sizes()
    indices = case.indices(len(sizes))
    with tempfile.TemporaryDirectory() as folder:
        problem, result = Path(folder, "problem.npz"), Path(folder, "result.npy")
        np.savez(
            problem,
            parameters=case.initial,
            step_sizes=sizes,
            indices=indices,
            inputs=case.data["train_inputs"].values,
            labels=case.data["train_labels"].values,
            model=case.spec.model.model_dump_json(),
        )
        command = [sys.executable, str(Path(__file__).with_name("cold.py")), str(problem), str(result)]
        environment = os.environ | {"NUMBA_CACHE_DIR": str(Path(folder, "cache"))}
        ours = _best(lambda: subprocess.run(command, check=True, env=environment), 1)
        same = np.array_equal(np.load(result), case.train(indices))
    stretch = case.indices(PLAIN_STEPS)
    theirs = _best(lambda: case.train_plainly(stretch), 3) / PLAIN_STEPS * indices.size
    note = f"  (plain extrapolated from {PLAIN_STEPS} steps)"
    return Row(f"{SEEDS} seeds x {len(sizes)} steps, 1-D, cold compile", "s", ours, theirs, 40, same, note)


def _diagonal_steps(case: Case) -> Row:
    d = case.data.sizes["input"]
    start = np.repeat([case.spec.model.u, case.spec.model.v], d)
    inputs, labels = case.data["train_inputs"].values, case.data["train_labels"].values
    n = case.data.sizes["example"]
    sizes = 0.5 * case.sizes()[: 10 * PLAIN_STEPS]  # at the cell's own step size some seeds diverge early

    def ours(steps: int) -> Array:
        orders = [np.random.default_rng(seed) for seed in range(SEEDS)]
        indices = np.stack([order.integers(n, size=(steps, 1)) for order in orders])
        return _trained(case, np.tile(start, (SEEDS, 1)), indices, sizes[:steps])

    def theirs(steps: int) -> Array:
        u, v = np.split(start, 2)
        return np.concatenate(plain.diagonal_sgd(u, v, inputs[0], labels[0], sizes[:steps], np.random.default_rng(0)))

    same = _close(ours(100)[0], theirs(100), 1e-8)
    return Row(
        "SGD step with its draw, diagonal net, a seed",
        "us",
        _best(lambda: ours(len(sizes)), 5) / (SEEDS * len(sizes)),
        _best(lambda: theirs(len(sizes)), 3) / len(sizes),
        150,
        same,
    )


def _ranks(name: str, case: Dense, seeds: int) -> Row:
    parameters, inputs = case.checkpoints(seeds)
    nets, net = [case.network(flat) for flat in parameters], network(case.spec.model, case.inputs)
    ours, theirs = _Recorded(), _Recorded()

    def ranks() -> Array:
        return rank(net.singular_values(parameters, inputs), 1e-4)

    our_time = _best(lambda: ours(ranks()), 3)
    their_time = _best(lambda: theirs(plain.jacobian_ranks(nets, torch.from_numpy(inputs), 1e-4)), 1)
    count = len(parameters)
    same = np.array_equal(ours.value, theirs.value)
    note = f"  ({count} checkpoints, ranks {min(theirs.value)} to {max(theirs.value)})"
    return Row(f"Jacobian rank, {name}, a checkpoint", "ms", our_time / count, their_time / count, 12, same, note)


def _diagonal_ranks(case: Case) -> Row:
    parameters, inputs = case.checkpoints(seeds=3)
    us, vs = np.split(parameters, 2, axis=1)
    net = network(case.spec.model, inputs.shape[1])
    thresholds = (1e-12, 1e-15)
    ours, theirs = _Recorded(), _Recorded()

    def ranks() -> Array:
        values = net.singular_values(parameters, inputs)
        return np.stack([rank(values, threshold) for threshold in thresholds], axis=1)

    our_time = _best(lambda: ours(ranks()), 3)
    their_time = _best(lambda: theirs(plain.diagonal_ranks(us, vs, inputs, thresholds)), 1)
    differences = np.abs(ours.value - np.array(theirs.value))
    count = len(parameters)
    note = f"  ({count} checkpoints; at 1e-15 {np.count_nonzero(differences[:, 1])} ranks differ"
    note += f", by at most {differences[:, 1].max():.0f})"
    same = not differences[:, 0].any()
    return Row("Jacobian rank, diagonal net, a checkpoint", "ms", our_time / count, their_time / count, 8, same, note)


class _Recorded:
    """Keeps the value of the last call."""

    value: Any = None

    def __call__(self, value: Any) -> None:
        self.value = value


def _trained(case: Case, parameters: Array, indices: NDArray[np.int64], sizes: Array) -> Array:
    runs = Runs(Problem(case.spec.model, case.data, case.spec.training.loss), parameters)
    runs.advance(sizes, indices)
    if (runs.diverged_step >= 0).any():
        raise RuntimeError("a run diverged, which makes its steps free")
    return runs.parameters


def _best(function: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def _close(ours: Array, theirs: Array, tolerance: float) -> bool:
    return bool(np.linalg.norm(ours - theirs) <= tolerance * np.linalg.norm(theirs))


if __name__ == "__main__":
    sys.exit(main())
