"""At which step a share of training has passed, and a decay that falls due there divides first.

The published code of deep networks asks of update k of N, from 0 on, whether (k + 1) / N has reached the share; that of
toy networks cuts the product of share and steps to a whole step, in floats. It stands apart from `schedules`, as the
configuration checks schedules without NumPy.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from largestep.config.cells import StepSizes
    from largestep.config.schedules import ScheduleConfig
    from largestep.schedules import Law


def decay_fraction(law: StepSizes | Law) -> float:
    """Fraction of training spent before the first decay; 0 for a constant step size, NaN for an annealed one."""
    if law.annealing is not None:
        return math.nan
    return float(law.decays[0].at) if law.decays else 0.0


def passed(share: float, steps: int) -> Fraction:
    """How many of the steps this share of training is, exactly, the share taken as config.yaml has it.

    The product of floats may lie on the other side of a whole number: 0.29 * 100 is less than 29.
    """
    return Fraction(str(share)) * steps


def first(at: float, steps: int, *, images: bool, after_update: bool = False) -> int:
    """The first step whose size a decay at this share of training divides.

    images: of an image classifier the first update k with (k + 1) / steps at or above `at`. after_update: of a toy
    network the step behind the one that falls due.
    """
    if images:
        return max(0, math.ceil(passed(at, steps)) - 1)
    return int(at * steps) + after_update


def taken(law: ScheduleConfig, steps: int, *, images: bool, after_update: bool = False) -> list[int]:
    """The first step of every divided size, as of `first`.

    Raises ValueError for a schedule that cannot be taken in so few steps.
    """
    firsts = [first(each.at, steps, images=images, after_update=after_update) for each in law.decays]
    if firsts and firsts[0] < 1:
        raise ValueError(
            f"decays: that at {law.decays[0].at} of {steps} steps comes before the first step, so that no step is "
            "large; set it later, or train longer"
        )
    for (one, earlier), (two, later) in pairwise(zip(law.decays, firsts, strict=True)):
        if earlier == later:
            raise ValueError(
                f"decays: those at {one.at} and {two.at} of {steps} steps are the same step; set them farther apart"
            )
    if law.warmup is not None and law.warmup.kind == "linear":
        reached = math.ceil(passed(law.warmup.until, steps)) - images
        if reached >= (firsts or [steps])[0]:
            raise ValueError(
                f"warmup.until: {law.warmup.until} of {steps} steps leaves no step at the full step size; lower it"
            )
    return firsts
