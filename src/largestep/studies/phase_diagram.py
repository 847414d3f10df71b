"""Step size against duration: a linear network trained at every pair of the two, many seeds each.

The paper's schedules differ in the size of the decayed steps as well as in when the decay comes. Here all runs
decay to one step size, so that whatever differs between them is the doing of the large-step phase. Seeds and arms
follow the convention of `largestep.toys.train`: seed s sees the same order of examples, and in the arm `data`
the same data set, as seed s of every cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep import stages
from largestep.compiled import use_threads
from largestep.decay_steps import decay_fraction
from largestep.measures.thresholds import l0_norms
from largestep.recording import grid
from largestep.schedules import Schedule, is_large, large_then_small, second_half
from largestep.store import variable
from largestep.threshold_sweep import coordinate
from largestep.toys.network import linear
from largestep.toys.orders import Orders
from largestep.toys.runs import Problem, Runs, data_sets, rule

if TYPE_CHECKING:
    from largestep.config.models import ToyNet
    from largestep.config.studies.phase_diagram import PhaseDiagram
    from largestep.config.training import ToyTraining
    from largestep.specs.studies import StudySpec, UsedToy

Array = NDArray[np.float64]
POINT = ("step_size", "decay_at", "seed")
# Share of training, counted back from the decay, over which the predictor's errors are averaged.
LATE = 0.05


def study(spec: StudySpec[PhaseDiagram, UsedToy], threads: int) -> xr.Dataset:
    """Every measure at every (step size, decay time, seed); NaN where the run diverged.

    At the end of training: test_loss, train_loss and l0, at the experiment's thresholds. From the large-step
    phase: phase_loss, support_rmse and off_support. All decay times of a step size share the run up to the decay.
    Raises ValueError when the experiment has label noise, which is not drawn here.
    """
    use_threads(threads)
    settings = spec.settings
    experiment = spec.experiments[settings.experiment]
    training, thresholds = experiment.training, sorted(experiment.measures.l0_thresholds)
    if training.label_noise != 0.0:
        raise ValueError(f"experiment {settings.experiment} has label noise, which a phase diagram does not draw")
    drawn, seeds, own = experiment.data.data, np.arange(settings.seeds), settings.arm == "data"
    data_set = data_sets(settings.arm, len(seeds)) if own else None
    data = stages.worker("data", drawn.kind).draw(drawn, len(seeds) if own else 0)
    problem = _Problem(experiment.model, data, training.loss)
    step_sizes = np.linspace(settings.step_sizes.low, settings.step_sizes.high, settings.step_sizes.count)
    order = Orders(seeds, problem.examples, training.batch_size, training.sampling).take(training.steps)

    columns: dict[str, list[list[Array]]] = {}
    for step_size in tqdm(step_sizes, desc=spec.study, unit="step size", mininterval=2.0, ascii=True):
        start = Runs(problem, problem.net.initial(seeds), data_set, rule(training))
        row = _decayed_at_each(problem, start, order, float(step_size), training, settings, thresholds)
        for name in row[0]:
            columns.setdefault(name, []).append([column[name] for column in row])
    return _dataset({name: np.array(rows) for name, rows in columns.items()}, step_sizes, experiment, settings)


class _Problem(Problem):
    """Adds the errors of predictors on and off the support of the truth."""

    def __init__(self, model: ToyNet, data: xr.Dataset, loss: str) -> None:
        super().__init__(model, data, loss)
        self._truth = data["truth"].values
        # Its first coordinates, the same in all data sets.
        self._support = int(np.count_nonzero(self._truth[0]))

    def predictors(self, runs: Runs) -> Array:
        """The linear predictor of each run, (seeds, d)."""
        return linear(self.net).predictor(runs.parameters)

    def errors(self, runs: Runs) -> tuple[Array, Array]:
        """Mean square error on the support of the truth, and squared l2 norm off it, of each run's predictor."""
        difference = self.predictors(runs) - (self._truth[:1] if runs.data_set is None else self._truth[runs.data_set])
        on, off = difference[:, : self._support], difference[:, self._support :]
        return np.mean(on**2, axis=1), np.sum(off**2, axis=1)


def _decayed_at_each(
    problem: _Problem,
    runs: Runs,
    order: NDArray[np.int64],
    step_size: float,
    training: ToyTraining,
    settings: PhaseDiagram,
    thresholds: list[float],
) -> list[dict[str, Array]]:
    """The measures of each decay time, every one (seeds,) but l0, which is (seeds, thresholds)."""

    def advance(runs: Runs, until: int, size: float) -> None:
        runs.advance(np.full(until - runs.step, size), order[:, runs.step : until])

    evaluations = grid(training.steps, training.evaluations)
    late = max(1, round(LATE * training.evaluations))
    losses, on_support, off_support = (np.full((len(evaluations), len(runs.diverged_step)), np.nan) for _ in range(3))
    points, evaluated, decayed = [], 0, settings.decayed_step_size
    for decay_at in settings.decay_at:
        law = large_then_small(step_size, decay_at, decayed)
        due = Schedule(law, training.steps, training.decay_after_update).decay_step
        before = int(is_large(evaluations, due).sum())
        # A run about to diverge has infinite losses.
        with np.errstate(over="ignore", invalid="ignore"):
            for index in range(evaluated, before):
                advance(runs, int(evaluations[index]), step_size)
                losses[index] = runs.loss()
                on_support[index], off_support[index] = problem.errors(runs)
            evaluated = before
            advance(runs, due, step_size)
            after = runs.branch()
            # The update of the last step is never taken, as in the cells.
            advance(after, training.steps - 1, decayed)
            predictors = problem.predictors(after)
            half = second_half(evaluations, due)
            last = slice(max(0, before - late), before)
            values = {
                "test_loss": after.test_loss(),
                "train_loss": after.loss(),
                "phase_loss": losses[half].mean(axis=0),
                "support_rmse": np.sqrt(on_support[last].mean(axis=0)),
                "off_support": np.sqrt(off_support[last].mean(axis=0)),
            }
        alive = after.diverged_step < 0
        points.append(
            {name: np.where(alive, each, np.nan) for name, each in values.items()}
            | {
                "l0": l0_norms(predictors, thresholds),
                "diverged_step": after.diverged_step,
            }
        )
    return points


def _dataset(
    columns: Mapping[str, Array], step_sizes: Array, experiment: UsedToy, settings: PhaseDiagram
) -> xr.Dataset:
    described = {
        "test_loss": ("1", "loss on the test set at the end of training"),
        "train_loss": ("1", "loss on the training set at the end of training"),
        "phase_loss": ("1", "mean training loss over the second half of the large-step phase"),
        "support_rmse": ("1", "root mean square error of the predictor on the support just before the decay"),
        "off_support": ("1", "l2 norm of the predictor off the support just before the decay"),
        "diverged_step": ("1", "step at which the run diverged, -1 for none"),
    }
    schedules = experiment.schedules.values()
    return xr.Dataset(
        {name: variable(POINT, columns[name], *words) for name, words in described.items()}
        | {
            "l0": variable(
                (*POINT, "l0_threshold"), columns["l0"], "1", "non-zeros of the predictor at the end of training"
            ),
            "arm": variable((), settings.arm, "1", "what a seed varies"),
            "decayed_step_size": variable((), settings.decayed_step_size, "1", "step size after the decay"),
            "published_step_size": variable(
                ("cell",), [schedule.step_size for schedule in schedules], "1", "large step size of the cell"
            ),
            "published_decay_at": variable(
                ("cell",), [decay_fraction(schedule) for schedule in schedules], "1", "decay time of the cell"
            ),
        },
        {
            "step_size": variable(("step_size",), step_sizes, "1", "step size before the decay"),
            "decay_at": variable(("decay_at",), settings.decay_at, "1", "fraction of training before the decay"),
            "seed": variable(("seed",), np.arange(settings.seeds), "1", "seed of the run"),
            "l0_threshold": coordinate("l0_threshold", experiment.measures.l0_thresholds, "what counts as non-zero"),
            "cell": variable(("cell",), list(experiment.schedules), "1", "published cell of the experiment"),
        },
    )
