"""The pilot of C24 (docs/claims.md): python benchmarks/pilot_valley_walls.py, on how many runs SGD diverges.

Further seeds of the two-layer network on its fixed data set, with the warm-up of the three-layer network's schedule.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from largestep import config, stages
from largestep.schedules import Decay, Law, Rise, Schedule
from largestep.toys.orders import Orders
from largestep.toys.runs import Problem, Runs

ROOT = Path(__file__).parents[1]
FIRST, SEEDS, PEAKS = 1000, 20, (0.455, 0.40, 0.35, 0.30)
DECAY_AT, FACTOR, EXPONENT = 0.5, 6.0, 0.5


def main() -> None:
    """A line per peak: how many runs diverge before the decay, which reaches it."""
    settings = config.parse(config.read(ROOT / "config.yaml"), source="config.yaml")
    experiment, seeds = settings.experiments["two_layer"], np.arange(FIRST, FIRST + SEEDS)
    data = stages.worker("data", experiment.data.kind).draw(experiment.data, 0)
    problem, steps = Problem(experiment.model, data, experiment.training.loss), experiment.training.steps
    for peak in PEAKS:
        start = peak / (1.0 + (FACTOR - 1.0) * DECAY_AT**EXPONENT)
        schedule = Schedule(Law(start, [Decay(DECAY_AT, 5.0)], Rise(FACTOR, EXPONENT)), steps)
        runs, until = Runs(problem, problem.net.initial(seeds)), schedule.decay_step
        runs.advance(schedule.sizes[:until], Orders(seeds, problem.examples).take(until))
        print(f"{peak:g} from {start:.4f}: {np.count_nonzero(runs.diverged_step >= 0)} of {SEEDS} runs diverge")


if __name__ == "__main__":
    sys.exit(main())
