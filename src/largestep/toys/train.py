"""Training of the toy networks: all seeds and arms of a cell at once.

A seed fixes the order of the examples and the initial parameters; in the arm `data` it also picks
another data set. Seeds are shared by all cells of an experiment, so that cells can be compared in pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep.compiled import use_threads
from largestep.recording import datasets, recorded_steps
from largestep.schedules import Schedule
from largestep.store import variable
from largestep.toys.orders import Noise, Orders
from largestep.toys.runs import Problem, Runs, data_sets, rule

if TYPE_CHECKING:
    from largestep.config.cells import StepSizes
    from largestep.config.models import ToyNet
    from largestep.config.training import ToyTraining
    from largestep.schedules import Law

# A block of steps is drawn and taken at once; its size bounds memory and does not change the draws.
BLOCK = 2000
TEST_LOSS = "loss on the test set"


def advance_to(until: int, runs: Runs, orders: Orders, sizes: NDArray[np.float64]) -> None:
    """Take plain steps in their orders before step `until`; sizes: of every step from the first of all on."""
    while runs.step < until:
        here = sizes[runs.step : min(until, runs.step + BLOCK)]
        runs.advance(here, orders.take(len(here)))


def train(
    model: ToyNet, training: ToyTraining, law: StepSizes | Law, data: xr.Dataset, *, label: str, threads: int
) -> tuple[xr.Dataset, xr.Dataset]:
    """Train every seed of a cell; label: what the progress bar calls it.

    Returns the losses, with dimensions (arm, seed, step), and the snapshots of the parameters, with
    dimensions (arm, seed, snapshot_step, parameter). Evaluation comes before the update of a step.
    """
    use_threads(threads)
    arms, seeds, steps = training.arms, training.seeds, training.steps
    schedule = Schedule(law, steps, training.decay_after_update)
    evaluation_steps, snapshot_steps = recorded_steps(steps, training.evaluations, training.snapshots)

    problem = Problem(model, data, training.loss)
    seed_of_run = np.tile(np.arange(seeds), len(arms))
    initial = problem.net.initial(np.arange(seeds))[seed_of_run]
    data_set = np.concatenate([data_sets(arm, seeds) for arm in arms])
    runs = Runs(problem, initial, data_set, rule(training))
    orders = Orders(seed_of_run, problem.examples, training.batch_size, training.sampling)
    noise = Noise(seed_of_run)

    train_loss = np.empty((len(initial), len(evaluation_steps)))
    test_loss = np.empty_like(train_loss)
    snapshots = np.empty((len(initial), len(snapshot_steps), initial.shape[1]))
    with tqdm(total=steps, desc=label, unit="step", mininterval=2.0, ascii=True) as bar:
        for index, now in enumerate(evaluation_steps):
            while runs.step < now:
                count = min(BLOCK, int(now) - runs.step)
                indices = orders.take(count)
                drawn = noise.take(training.label_noise, count, indices.shape[2] or problem.examples)
                runs.advance(schedule.sizes[runs.step : runs.step + count], indices, drawn)
                bar.update(count)
            train_loss[:, index] = runs.loss()
            if problem.has_test:
                test_loss[:, index] = runs.test_loss()
            if now in snapshot_steps:
                snapshots[:, np.searchsorted(snapshot_steps, now)] = runs.parameters
        bar.update(steps - bar.n)

    curves = {"train_loss": (train_loss, "1", "loss on the training set")}
    if problem.has_test:
        curves["test_loss"] = (test_loss, "1", TEST_LOSS)
    return datasets(training, steps, schedule, curves, snapshots, runs.diverged_step, data_set)


def test_loss(model: ToyNet, loss: str, data: xr.Dataset, snapshots: xr.Dataset) -> xr.Variable:
    """The loss on the test set of every snapshot of `train`, for a cell trained without one to save its evaluations.

    Returns dimensions (arm, seed, snapshot_step).
    """
    parameters = snapshots["parameters"]
    which = np.repeat(snapshots["data_set"].values.ravel(), parameters.shape[2])
    problem = Problem(model, data, loss)
    values = problem.test_loss(parameters.values.reshape(-1, parameters.shape[-1]), which)
    return variable(("arm", "seed", "snapshot_step"), values.reshape(parameters.shape[:3]), "1", TEST_LOSS)
