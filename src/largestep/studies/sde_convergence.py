"""The weak error of Euler and Maruyama's method for the paper's SDE, on a small diagonal network.

Every path is solved with time steps eta / m for m doubling from level to level, and along the same Brownian path: the
increments of a level are sums of those of the next. The error of a level is not known, but the difference of a
statistic's mean between successive levels falls in proportion to the time step if the method is of weak order 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep import stages
from largestep.compiled import use_threads
from largestep.recording import LABEL_NOISE
from largestep.store import variable
from largestep.toys.network import linear
from largestep.toys.runs import Problem, Runs
from largestep.toys.update import Rule

if TYPE_CHECKING:
    from largestep.config.studies.sde_convergence import SdeConvergence
    from largestep.specs.studies import StudySpec, UsedToy

Array = NDArray[np.float64]
# Paths solved at once: bounds the memory of the noise and does not change the draws.
TOGETHER = 25


def study(spec: StudySpec[SdeConvergence, UsedToy], threads: int) -> xr.Dataset:
    """Means of the statistics over each group's paths, (seed, level), and of their changes, (seed, halving).

    A change is the statistic at a time step less that at half of it, so that Brownian noise cancels within a path. A
    path that diverges at any level counts at none; `diverged` says how many did, (seed, level).
    """
    use_threads(threads)
    settings = spec.settings
    data = stages.worker("data", settings.data.kind).draw(settings.data, 0)
    problem = Problem(settings.model, data, "half_mse")
    examples, start = problem.examples, problem.net.initial(np.zeros(1, dtype=np.int64))
    substeps = settings.substeps * np.left_shift(1, np.arange(settings.levels))
    time_steps = settings.step_size / substeps
    seeds, paths = settings.seeds, settings.paths
    ends = np.empty((seeds, len(substeps), paths, start.shape[1]))
    with tqdm(total=seeds * paths, desc=spec.study, unit="path", mininterval=2.0, ascii=True) as bar:
        for seed in range(seeds):
            generator = np.random.default_rng([LABEL_NOISE, seed])
            for first in range(0, paths, TOGETHER):
                group = slice(first, min(first + TOGETHER, paths))
                shape = group.stop - first, settings.horizon * substeps[-1], examples
                noise = np.sqrt(substeps[-1] * examples) * generator.standard_normal(shape)
                for level in range(len(substeps) - 1, -1, -1):
                    ends[seed, level, group] = _solve(problem, time_steps[level], noise)
                    # As label noise, of variance m n, the sum of two increments is their mean.
                    noise = noise.reshape(len(noise), -1, 2, noise.shape[2]).mean(axis=2) if level else noise
                bar.update(group.stop - first)
    loss = problem.loss(ends.reshape(-1, ends.shape[-1])).reshape(ends.shape[:-1])
    statistics = {
        "loss": (loss, "training loss at the end"),
        "l1": (np.abs(linear(problem.net).predictor(ends)).sum(axis=-1), "l1 norm of the predictor at the end"),
    }
    lost = ~np.isfinite(statistics["loss"][0])
    dataset = xr.Dataset(
        {
            "time_step": variable(("level",), time_steps, "1", "time step of the method"),
            "halved_time_step": variable(("halving",), time_steps[:-1], "1", "time step before it is halved"),
            "diverged": variable(("seed", "level"), lost.sum(axis=2), "1", "paths of the group that diverged"),
            "paths": variable((), paths, "1", "paths of a group"),
        },
        {"seed": variable(("seed",), np.arange(seeds), "1", "group of paths, with a random stream of its own")},
    )
    usable = ~lost.any(axis=1, keepdims=True)
    for name, (values, long_name) in statistics.items():
        mean = np.mean(values, axis=2, where=usable)
        change = np.mean(values[:, :-1] - values[:, 1:], axis=2, where=usable)
        dataset[name] = variable(("seed", "level"), mean, "1", f"mean {long_name}")
        dataset[f"{name}_change"] = variable(
            ("seed", "halving"), change, "1", f"mean {long_name}, less that at half the time step"
        )
    return dataset


def _solve(problem: Problem, time_step: float, noise: Array) -> Array:
    """Ends of paths, (paths, p), NaN where they diverge; noise: (paths, steps, n), the method's as label noise."""
    runs = Runs(problem, problem.net.initial(np.arange(len(noise))), rule=Rule(noise_follows_loss=True))
    runs.advance(np.full(noise.shape[1], time_step), noise=noise)
    return runs.parameters
