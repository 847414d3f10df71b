"""Valley walls: the loss on all examples along the line from each iterate of SGD to the next (Xing et al. 2018).

Windows of successive updates are followed in the second half of the large-step phase, and in the second half of what
follows. Seeds follow the convention of `largestep.toys.train` in the arm `order`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep import stages
from largestep.compiled import use_threads
from largestep.measures import pruning
from largestep.measures.walk import PLACES, cosines, crosses
from largestep.schedules import Schedule
from largestep.store import variable
from largestep.studies.batch_sharpness import side_by_side
from largestep.toys.network import Layered
from largestep.toys.orders import Orders
from largestep.toys.runs import Problem, Runs
from largestep.toys.train import advance_to

if TYPE_CHECKING:
    from largestep.config.studies.valley_walls import ValleyWalls
    from largestep.specs.studies import StudySpec, UsedToy

Array = NDArray[np.float64]
UPDATES = ("network", "seed", "window", "update")
DESCRIBED = {
    "crosses": (UPDATES, "1", "whether the loss on the line of the update is lowest between its ends"),
    "cosine": (UPDATES, "1", "cosine of the angle between the update and the next"),
    "repeats": (UPDATES, "1", "whether the next update is by the same examples"),
    "train_loss": (UPDATES, "1", "loss on the training set before the update"),
    "shown_loss": (("network", "window", "update", "place"), "1", "loss on the lines of one run that does not diverge"),
    "window_step": (("network", "window"), "1", "updates before the window"),
    "decay_step": (("network",), "1", "first step of the decayed size"),
    "steps": (("network",), "1", "length of a run"),
    "dead": (("network", "seed"), "1", "whether the run ends with a block that no training example activates"),
    "diverged_step": (("network", "seed"), "1", "step at which the run diverged, -1 for none"),
}


def study(spec: StudySpec[ValleyWalls, UsedToy], threads: int) -> xr.Dataset:
    """Every network and seed; the variables of `DESCRIBED`, NaN where a run has diverged."""
    use_threads(threads)
    shown = tqdm(sorted(spec.settings.networks), desc=spec.study, unit="network", ascii=True)
    by_network = {name: _of_network(name, spec.settings, spec.experiments[name]) for name in shown}
    places = variable(("place",), PLACES, "1", "on the line, 0 before the update and 1 after it")
    return side_by_side(by_network, DESCRIBED).assign_coords(place=places)


def window_steps(decay: int, steps: int, windows: int, updates: int) -> NDArray[np.int64]:
    """Updates before each window: evenly over the second half before the decay, then over that after it."""
    phases = (0, decay), (decay, steps - 1)
    starts = [np.linspace((start + end) // 2, end - updates, windows) for start, end in phases]
    return np.concatenate(starts).astype(np.int64)


def _of_network(name: str, settings: ValleyWalls, experiment: UsedToy) -> dict[str, Any]:
    """A value of every variable of `DESCRIBED`, without its dimension `network`."""
    training, drawn, seeds = experiment.training, experiment.data.data, np.arange(settings.seeds)
    problem = Problem(experiment.model, stages.worker("data", drawn.kind).draw(drawn, 0), training.loss)
    schedule = Schedule(settings.networks[name], training.steps, training.decay_after_update)
    starts = window_steps(schedule.decay_step, training.steps, settings.windows, settings.updates)
    runs = Runs(problem, problem.net.initial(seeds))
    orders = Orders(seeds, problem.examples, training.batch_size, training.sampling)
    followed = []
    for start in starts:
        advance_to(int(start), runs, orders, schedule.sizes)
        followed.append(_window(runs, orders, schedule.sizes[start : start + settings.updates]))
    values = {key: np.stack([each[key] for each in followed], axis=1) for key in followed[0]}
    alive = np.flatnonzero(runs.diverged_step < 0)
    lines = values.pop("lines")
    return values | {
        "train_loss": lines[..., 0],
        "shown_loss": lines[alive[0]] if len(alive) else np.full(lines.shape[1:], np.nan),
        "window_step": starts,
        "decay_step": schedule.decay_step,
        "steps": training.steps,
        "dead": _dead(problem, runs.parameters),
        "diverged_step": runs.diverged_step,
    }


def _window(runs: Runs, orders: Orders, sizes: Array) -> dict[str, Array]:
    """Take steps of these sizes one by one; what is seen of each, (seeds, updates, ...), and losses on its line."""
    indices, path = orders.take(len(sizes)), [runs.parameters.copy()]
    for place in range(len(sizes)):
        runs.advance(sizes[place : place + 1], indices[:, place : place + 1])
        path.append(runs.parameters.copy())
    along = np.stack(path, axis=1)
    lines = _losses(runs.problem, along)
    return {"lines": lines, "crosses": crosses(lines), "cosine": cosines(along), "repeats": _repeats(indices)}


def _losses(problem: Problem, path: Array) -> Array:
    """Training loss at the places on every line of paths (seeds, updates + 1, p): (seeds, updates, places)."""
    before, after = path[:, :-1], path[:, 1:]
    size = path.shape[-1]
    by_place = [problem.loss(((1.0 - t) * before + t * after).reshape(-1, size)) for t in PLACES]
    return np.stack(by_place, axis=-1).reshape(*before.shape[:2], len(PLACES))


def _repeats(indices: NDArray[np.int64]) -> Array:
    """Whether each of these steps (seeds, updates, batch) is followed by the same examples; NaN of the last."""
    ordered = np.sort(indices, axis=2)
    same = (ordered[:, 1:] == ordered[:, :-1]).all(axis=2).astype(float)
    return np.concatenate([same, np.full((len(same), 1), np.nan)], axis=1)


def _dead(problem: Problem, parameters: Array) -> Array:
    """Which runs end with a block that no training example activates, NaN of diverged ones; none without units."""
    dead = np.where(np.isfinite(parameters).all(axis=1), 0.0, np.nan)
    if isinstance(problem.net, Layered):
        for run in np.flatnonzero(dead == 0.0):
            blocks, _ = pruning.activations(problem.net.matrices(parameters[run]), problem.inputs[0])
            dead[run] = pruning.dead(blocks)
    return dead
