"""The shape of SGD's noise: SGD on a diagonal network against full-batch steps of the same sizes with other noise.

The noise of each arm has at every step the trace of the covariance of SGD's gradient at the arm's own parameters. Seeds
follow the convention of `largestep.toys.train` in the arm `data`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep import stages
from largestep.compiled import use_threads
from largestep.measures.thresholds import l0_norms
from largestep.recording import grid
from largestep.schedules import Schedule, large_then_small
from largestep.store import variable
from largestep.threshold_sweep import coordinate
from largestep.toys.network import linear, shapable
from largestep.toys.noise_shapes import ISOTROPIC, LABELS, PENALTY
from largestep.toys.orders import Noise, Orders
from largestep.toys.runs import Problem, Runs, data_sets
from largestep.toys.train import BLOCK, TEST_LOSS

if TYPE_CHECKING:
    from largestep.config.studies.noise_shape import NoiseShape
    from largestep.specs.studies import StudySpec, UsedToy

Array = NDArray[np.float64]
# Shapes of the arms that the usual kernels do not step.
SHAPES = {"isotropic": ISOTROPIC, "label_noise": LABELS, "penalty": PENALTY}
ARMS = ("sgd", *SHAPES, "gd")


def study(spec: StudySpec[NoiseShape, UsedToy], threads: int) -> xr.Dataset:
    """Losses along training and non-zeros at the end, of every arm and seed; NaN where a run has diverged."""
    use_threads(threads)
    settings = spec.settings
    experiment = spec.experiments[settings.experiment]
    drawn, training, thresholds = experiment.data.data, experiment.training, experiment.measures.l0_thresholds
    problem = Problem(experiment.model, stages.worker("data", drawn.kind).draw(drawn, settings.seeds), training.loss)
    law = large_then_small(settings.step_size, settings.decay_at, settings.decayed_step_size)
    schedule = Schedule(law, settings.steps, training.decay_after_update)
    times = grid(settings.steps, settings.evaluations)
    start = problem.net.initial(np.arange(settings.seeds))
    by_arm = []
    for name in tqdm(ARMS, desc=spec.study, unit="arm", mininterval=2.0, ascii=True):
        arm = _Arm(name, Runs(problem, start, data_sets("data", settings.seeds)), training.sampling)
        by_arm.append(arm.losses(schedule.sizes, times) | {"end": arm.runs.parameters, "gone": arm.runs.diverged_step})
    train_loss, test_loss, end, gone = (np.stack([arm[key] for arm in by_arm]) for key in by_arm[0])
    predictors, levels = linear(problem.net).predictor(end), sorted(thresholds)
    non_zeros = l0_norms(predictors, levels)
    along = ("arm", "seed", "step")
    return xr.Dataset(
        {
            "train_loss": variable(along, train_loss, "1", "loss on the training set"),
            "test_loss": variable(along, test_loss, "1", TEST_LOSS),
            "l0": variable(("arm", "seed", "l0_threshold"), non_zeros, "1", "non-zeros of the predictor at the end"),
            "decay_step": variable((), schedule.decay_step, "1", "first step of the decayed size"),
            "diverged_step": variable(("arm", "seed"), gone, "1", "step at which the run diverged, -1 for none"),
        },
        {
            "arm": variable(("arm",), list(ARMS), "1", "what steps are taken"),
            "seed": variable(("seed",), np.arange(settings.seeds), "1", "seed of the run and its data set"),
            "step": variable(("step",), times, "1", "updates before the evaluation"),
            "l0_threshold": coordinate("l0_threshold", thresholds, "size above which a coordinate is not zero"),
        },
    )


class _Arm:
    """All seeds of one way of taking steps."""

    def __init__(self, name: str, runs: Runs, sampling: str) -> None:
        self._name, self.runs = name, runs
        seeds, examples = range(len(runs.parameters)), runs.problem.examples
        self._orders = Orders(seeds, examples, 1 if name == "sgd" else "full", sampling)
        self._noise = [Noise([seed]) for seed in seeds]

    def losses(self, sizes: Array, times: NDArray[np.int64]) -> dict[str, Array]:
        """Train; the losses (seeds, times) before the updates at these times."""
        by_time = np.full((2, len(self.runs.parameters), len(times)), np.nan)
        for place, until in enumerate(times):
            while self.runs.step < until:
                self._advance(sizes[self.runs.step : min(int(until), self.runs.step + BLOCK)])
            by_time[:, :, place] = self.runs.loss(), self.runs.test_loss()
        return {"train_loss": by_time[0], "test_loss": by_time[1]}

    def _advance(self, sizes: Array) -> None:
        if self._name in SHAPES:
            self._advance_shaped(sizes, SHAPES[self._name])
        else:
            self.runs.advance(sizes, self._orders.take(len(sizes)))

    def _advance_shaped(self, sizes: Array, shape: int) -> None:
        """One run after the other; a run that has diverged draws no more."""
        runs, net = self.runs, shapable(self.runs.problem.net)
        width = {ISOTROPIC: runs.parameters.shape[1], LABELS: runs.problem.examples, PENALTY: 0}[shape]

        def take(run: int) -> int:
            normal = self._noise[run].take(float(width > 0), len(sizes), width)[0]
            return net.advance_shaped(runs.parameters[run], runs.problem.task(run + 1), sizes, normal, shape)

        runs.advance_by(take, len(sizes))
