"""Step size as a function of the step (paper, section 2 and appendix; see docs/design.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from largestep import elementary

# The published code of deep networks counts the update that it is about to take, that of toy networks does not.
PHASE_OF_IMAGES = 1


def step_sizes(
    schedule: Mapping[str, Any], steps: int, decay_after_update: bool = False, phase: int = 0
) -> NDArray[np.float64]:
    """The step size of every step.

    schedule: `step_size`, `warmup` (None, or a power, exponential or linear law), `decays`, a list of
    `at` (fraction of training) and `divide_by`, and perhaps `annealing`, cosine or None, as in a cell of
    `config.yaml`.
    decay_after_update: the published diagonal-network code divides after the update of the step
    at which the decay falls due, the ReLU code before it.
    phase: step k of N, from 0 on, counts as the fraction (k + phase) / N of training.

    Returns an array of shape (steps,).
    """
    step = np.arange(steps) + phase
    sizes = np.full(steps, float(schedule["step_size"]))
    decays, warmup = schedule["decays"], schedule["warmup"]
    risen = 0
    if warmup is not None:
        risen = int((warmup["until"] if warmup["kind"] == "linear" else decays[0]["at"]) * steps)
        # The step size stays at its peak after the warm-up: the decays divide that peak.
        sizes *= _warmup(warmup, np.minimum(step, risen) / steps)
    for decay in decays:
        due = int(decay["at"] * steps)
        sizes[step > due if decay_after_update else step >= due] /= decay["divide_by"]
    if schedule.get("annealing") is not None:
        # Half a cosine from the end of the warm-up to 0 where training ends (Loshchilov and Hutter 2017).
        sizes *= 0.5 * (1.0 + np.cos(np.pi * np.maximum(step - risen, 0) / (steps - risen)))
    return sizes


def decay_fraction(schedule: Mapping[str, Any]) -> float:
    """Fraction of training spent before the first decay; 0 for a constant step size, NaN for an annealed one."""
    if schedule.get("annealing") is not None:
        return np.nan
    return float(schedule["decays"][0]["at"]) if schedule["decays"] else 0.0


def _warmup(law: Mapping[str, Any], progress: NDArray[np.float64]) -> NDArray[np.float64]:
    if law["kind"] == "power":
        return 1.0 + (law["factor"] - 1.0) * elementary.power(progress, law["exponent"])
    if law["kind"] == "linear":
        return np.minimum(law["start"] + (1.0 - law["start"]) * progress / law["until"], 1.0)
    return elementary.power(law["base"], 100.0 * progress)
