"""Step size as a function of the step (paper, section 2 and appendix; see docs/design.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def step_sizes(schedule: Mapping[str, Any], steps: int, decay_after_update: bool = False) -> NDArray[np.float64]:
    """The step size of every step.

    schedule: `step_size`, `warmup` (None, or a power or exponential law) and `decays`, a list of
    `at` (fraction of training) and `divide_by`, as in a cell of `config.yaml`.
    decay_after_update: the published diagonal-network code divides after the update of the step
    at which the decay falls due, the ReLU code before it.

    Returns an array of shape (steps,).
    """
    step = np.arange(steps)
    sizes = np.full(steps, float(schedule["step_size"]))
    decays = schedule["decays"]
    if schedule["warmup"] is not None:
        until = int(decays[0]["at"] * steps)
        # The step size stays at its peak after the warm-up: the decays divide that peak.
        sizes *= _warmup(schedule["warmup"], np.minimum(step, until) / steps)
    for decay in decays:
        due = int(decay["at"] * steps)
        sizes[step > due if decay_after_update else step >= due] /= decay["divide_by"]
    return sizes


def decay_fraction(schedule: Mapping[str, Any]) -> float:
    """Fraction of training spent before the first decay; 0 for a constant step size."""
    return float(schedule["decays"][0]["at"]) if schedule["decays"] else 0.0


def _warmup(law: Mapping[str, Any], progress: NDArray[np.float64]) -> NDArray[np.float64]:
    if law["kind"] == "power":
        return 1.0 + (law["factor"] - 1.0) * progress ** law["exponent"]
    return np.asarray(law["base"] ** (100.0 * progress), dtype=np.float64)
