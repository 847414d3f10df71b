"""The loss on the plane through the start, the truth and the end of gradient flow, and three paths over it.

A diagonal network is trained by gradient flow, by gradient descent and by SGD; the last two take steps so large
that they cannot settle before the step size is divided (paper, Fig. 3, Fig. 8). The paths leave the plane: their
distance from it is recorded beside their projection.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep import stages
from largestep.compiled import use_threads
from largestep.recording import grid
from largestep.schedules import Decay, Law, Schedule
from largestep.store import variable
from largestep.toys.network import linear
from largestep.toys.orders import Orders
from largestep.toys.runs import Problem, Runs

if TYPE_CHECKING:
    from largestep.config.models import ToyNet
    from largestep.config.studies.loss_slice import LossSlice
    from largestep.specs.studies import StudySpec, UsedToy

Array = NDArray[np.float64]
PATHS = ("flow", "gd", "sgd")
# The points that span the plane, in the order of the store.
MARKS = ("start", "flow_end", "truth")
# How far the grid reaches beyond these points, as a share of their larger extent.
MARGIN = 0.25


def study(spec: StudySpec[LossSlice, UsedToy], threads: int) -> xr.Dataset:
    """The plane, the loss on a grid of it, and for `flow`, `gd` and `sgd` the position, distance, loss and error.

    Position is the projection on the plane, distance that from the plane, loss that on the training set and
    error the distance of the predictor from the truth; SGD has a dimension over seeds. NaN where a run diverged.
    """
    use_threads(threads)
    settings = spec.settings
    data = stages.worker("data", settings.data.kind).draw(settings.data, 0)
    problem = _Problem(settings.model, data)
    steps, seeds = settings.steps, settings.seeds
    evaluations = grid(steps, settings.evaluations)
    start = problem.net.initial(np.zeros(1, dtype=np.int64))[0]
    order = Orders(range(seeds), problem.examples).take(steps - 1)
    decays = [Decay(settings.decay_at, settings.divide_by)]
    step_sizes = {name: getattr(settings.step_sizes, name) for name in PATHS}
    paths, diverged_step = {}, {}
    for name, indices, count in zip(PATHS, (None, None, order), (1, 1, seeds), strict=True):
        # Divided after the update, as in the published code for diagonal networks.
        law = Law(step_sizes[name], [] if name == "flow" else decays)
        schedule = Schedule(law, steps, decay_after_update=True)
        paths[name], diverged_step[name] = _path(problem, indices, count, schedule.sizes, evaluations)

    root = np.sqrt(problem.truth)
    marks = np.stack([start, paths["flow"][0, -1], np.concatenate([root, root])])
    directions = _orthonormal(marks)
    spots = np.einsum("mp,ap->ma", marks - start, directions)
    low, high = spots.min(axis=0), spots.max(axis=0)
    low[1] = -high[1]  # as much of either side of the line from the start to the end of the flow
    reach = MARGIN * (high - low).max()
    first, second = np.linspace(low - reach, high + reach, settings.resolution).T
    plane = start + first[:, None] * directions[0] + second[:, None, None] * directions[1]

    variables = {
        "plane_loss": variable(("second", "first"), problem.loss_of(plane), "1", "training loss on the plane"),
        "mark_position": variable(("mark", "axis"), spots, "1", "the points that span the plane, in it"),
        "direction": variable(("axis", "parameter"), directions, "1", "orthonormal directions of the plane"),
    }
    for name, path in paths.items():
        variables |= _described(name, path, start, directions, problem)
    lost = np.stack([np.broadcast_to(diverged_step[name], seeds) for name in paths])
    variables |= {
        "diverged_step": variable(("path", "seed"), lost, "1", "step at which the run diverged, -1 for none"),
        "step_size": variable(("path",), list(step_sizes.values()), "1", "step size before any decay"),
        "decay_step": variable((), schedule.decay_step, "1", "first step of the divided sizes"),
    }
    return xr.Dataset(
        variables,
        {
            "first": variable(("first",), first, "1", "coordinate along the first direction of the plane"),
            "second": variable(("second",), second, "1", "coordinate along the second direction of the plane"),
            "path": variable(("path",), list(paths), "1", "algorithm; only SGD differs between seeds"),
            "mark": variable(("mark",), list(MARKS), "1", "point that spans the plane"),
            "step": variable(("step",), evaluations, "1", "updates before the evaluation"),
            "seed": variable(("seed",), np.arange(seeds), "1", "seed of the order of examples"),
        },
    )


class _Problem(Problem):
    """Adds the truth, and losses of parameters of any shape, on the one data set."""

    def __init__(self, model: ToyNet, data: xr.Dataset) -> None:
        super().__init__(model, data, "half_mse")
        self.truth = data["truth"].values[0]

    def loss_of(self, parameters: Array) -> Array:
        """Training loss of parameters (..., p)."""
        return self.loss(parameters.reshape(-1, parameters.shape[-1])).reshape(parameters.shape[:-1])

    def error(self, parameters: Array) -> Array:
        """Distance of the predictor from the truth, of parameters (..., p)."""
        return np.asarray(np.linalg.norm(linear(self.net).predictor(parameters) - self.truth, axis=-1))


def _path(
    problem: _Problem, indices: NDArray[np.int64] | None, seeds: int, sizes: Array, evaluations: NDArray[np.int64]
) -> tuple[Array, NDArray[np.int64]]:
    """Parameters (runs, evaluations, p) along training, and the steps (runs,) of divergence."""
    runs = Runs(problem, problem.net.initial(np.arange(seeds)))
    path = [runs.parameters.copy()]
    for step, now in pairwise(evaluations):
        runs.advance(sizes[step:now], None if indices is None else indices[:, step:now])
        path.append(runs.parameters.copy())
    return np.stack(path, axis=1), runs.diverged_step


def _orthonormal(marks: Array) -> Array:
    """Directions (2, parameters) of the plane through three points: towards the second, then the third (Gram-Schmidt).

    marks: (3, parameters).
    """
    first, second = marks[1:] - marks[0]
    first = first / np.sqrt(np.sum(first**2))
    for _ in range(2):  # twice is enough to be orthogonal to rounding error
        second = second - np.sum(first * second) * first
    return np.stack([first, second / np.sqrt(np.sum(second**2))])


def _described(name: str, path: Array, start: Array, directions: Array, problem: _Problem) -> dict[str, xr.Variable]:
    """The variables of one algorithm; only SGD has more than one run."""
    runs: tuple[str, ...] = ("seed", "step") if name == "sgd" else ("step",)
    shown = path if name == "sgd" else path[0]
    with np.errstate(over="ignore", invalid="ignore"):
        position = np.einsum("...p,ap->...a", shown - start, directions)
        beside = np.einsum("...a,ap->...p", position, directions)
        distance = np.linalg.norm(shown - start - beside, axis=-1)
        loss, error = problem.loss_of(shown), problem.error(shown)
    return {
        f"{name}_position": variable((*runs, "axis"), position, "1", f"path of {name}, projected on the plane"),
        f"{name}_distance": variable(runs, distance, "1", f"distance of {name} from the plane"),
        f"{name}_loss": variable(runs, loss, "1", f"training loss of {name}"),
        f"{name}_error": variable(runs, error, "1", f"distance of the predictor of {name} from the truth"),
    }
