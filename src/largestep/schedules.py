"""Step size as a function of the step (paper, section 2 and appendix; see docs/design.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep import decay_steps, elementary
from largestep.store import variable

if TYPE_CHECKING:
    from largestep.config.cells import StepSizes
    from largestep.config.schedules import Warmup

# The published code of deep networks counts the update that it is about to take, that of toy networks does not.
PHASE_OF_IMAGES = 1
NO_DECAY = -1


@dataclass(frozen=True)
class Decay:
    """One division of the step size, at a fraction of training."""

    at: float
    divide_by: float


@dataclass(frozen=True)
class Rise:
    """Growth of the step size along a straight line, until the first decay; factor: were it to last to the end."""

    factor: float
    exponent: float = 1.0
    kind: Literal["power"] = "power"


@dataclass(frozen=True)
class Law:
    """Step sizes of a study's own runs; those of a cell, `config.cells.StepSizes`, have the same parts."""

    step_size: float
    decays: Sequence[Decay] = ()
    warmup: Rise | None = None
    annealing: None = None


def large_then_small(large: float, until: float, small: float) -> Law:
    """A large step size until a fraction of training, then a small one."""
    return Law(large, [Decay(until, large / small)])


@dataclass(frozen=True)
class Schedule:
    """The step size of every step of a run, and when it ceases to be large.

    law: of a cell, as in `config.yaml`, or of a study.
    decay_after_update: the published diagonal-network code divides after the update of the step
    at which the decay falls due, the ReLU code before it.
    phase: step k of N, from 0 on, counts as the fraction (k + phase) / N of training, 0 or `PHASE_OF_IMAGES`.
    """

    law: StepSizes | Law
    steps: int
    decay_after_update: bool = False
    phase: int = 0

    @cached_property
    def sizes(self) -> NDArray[np.float64]:
        """The step size of every step, (steps,)."""
        step, law = np.arange(self.steps) + self.phase, self.law
        sizes = np.full(self.steps, float(law.step_size))
        decays, warmup = law.decays, law.warmup
        risen = 0.0
        if warmup is not None:
            until = warmup.until if warmup.kind == "linear" else decays[0].at
            risen = float(decay_steps.passed(until, self.steps) if self.phase else int(until * self.steps))
            # The step size stays at its peak after the warm-up: the decays divide that peak.
            # A straight line ends at the step size by itself, also where that is between two steps.
            rising = step if warmup.kind == "linear" else np.minimum(step, risen)
            sizes *= _warmup(warmup, rising / self.steps)
        for index, first in enumerate(self.decay_steps):
            sizes[first:] /= decays[index].divide_by
        if law.annealing is not None:
            # Half a cosine from the end of the warm-up to 0 where training ends (Loshchilov and Hutter 2017).
            sizes *= 0.5 * (1.0 + np.cos(np.pi * np.maximum(step - risen, 0) / (self.steps - risen)))
        return sizes

    @property
    def decay_steps(self) -> list[int]:
        """The first step of every divided size."""
        images, late = bool(self.phase), self.decay_after_update
        return [decay_steps.first(each.at, self.steps, images=images, after_update=late) for each in self.law.decays]

    @property
    def decay_step(self) -> int:
        """The first step after the large-step phase, -1 where no step size is divided."""
        return self.decay_steps[0] if self.law.decays else NO_DECAY

    @property
    def peak(self) -> float:
        """The largest step size."""
        return float(self.sizes.max())

    def variables(self) -> dict[str, xr.Variable]:
        """What stores say of a schedule; by these names measures, claims and figures know it."""
        return {
            "peak_step_size": variable((), self.peak, "1", "largest step size"),
            "decay_fraction": variable(
                (),
                decay_steps.decay_fraction(self.law),
                "1",
                "fraction of training before the first decay, 0 for a constant step size, NaN for an annealed one",
            ),
            "decay_step": variable(
                ("decay",), self.decay_steps or [NO_DECAY], "1", "first step of a divided size, -1 for none"
            ),
        }


def is_large(steps: NDArray[np.int64], decay_step: int) -> NDArray[np.bool_]:
    """At which recorded steps all updates so far were large; none where there is no large-step phase.

    What is recorded at a step comes before its update, so that at the decay step it is still of the phase.
    """
    return np.asarray(steps <= decay_step)


def second_half(steps: NDArray[np.int64], decay_step: int) -> NDArray[np.bool_]:
    """Which of these recorded steps are of the second half of the large-step phase."""
    return is_large(steps, decay_step) & (steps >= decay_step // 2)


def in_words(fraction: float) -> str:
    """What ends the large-step phase, for a decay after this fraction of training (see `decay_fraction`)."""
    return "cosine annealing" if np.isnan(fraction) else f"decay at {100 * fraction:.3g}%"


def _warmup(law: Warmup | Rise, progress: NDArray[np.float64]) -> NDArray[np.float64]:
    if law.kind == "power":
        return 1.0 + (law.factor - 1.0) * elementary.power(progress, law.exponent)
    if law.kind == "linear":
        return np.minimum(law.start + (1.0 - law.start) * progress / law.until, 1.0)
    return elementary.power(law.base, 100.0 * progress)
