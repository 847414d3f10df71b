"""The pilot of C21 (docs/claims.md): python benchmarks/pilot_noise_shape.py, on how many data sets SGD diverges."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from largestep import config, stages
from largestep.schedules import Decay, Law, Schedule
from largestep.toys.orders import Orders
from largestep.toys.runs import Problem, Runs, data_sets

ROOT = Path(__file__).parents[1]
FIRST, SEEDS, SIZES = 1000, 20, (0.30, 0.27, 0.24, 0.21, 0.18, 0.15)


def main() -> None:
    """A line per large step size, with the data, length and schedule of the study `noise_shape` of config.yaml."""
    settings = config.parse(config.read(ROOT / "config.yaml"), source="config.yaml")
    study = settings.studies["noise_shape"]
    experiment = settings.experiments[study.experiment]
    drawn, training, seeds = experiment.data, experiment.training, np.arange(FIRST, FIRST + SEEDS)
    data = stages.worker("data", drawn.kind).draw(drawn, FIRST + SEEDS)
    problem = Problem(experiment.model, data, training.loss)
    for size in SIZES:
        law = Law(size, [Decay(study.decay_at, study.step_size / study.decayed_step_size)])
        runs = Runs(problem, problem.net.initial(seeds), data_sets("data", FIRST + SEEDS)[seeds])
        schedule = Schedule(law, study.steps, training.decay_after_update)
        runs.advance(schedule.sizes, Orders(seeds, problem.examples, 1, training.sampling).take(study.steps))
        print(f"{size:.2f}: {np.count_nonzero(runs.diverged_step >= 0)} of {SEEDS} data sets diverge")


if __name__ == "__main__":
    sys.exit(main())
