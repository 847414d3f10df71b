"""At which step a share of training has passed, and a decay that falls due there divides first.

The published code of deep networks asks of update k of N, from 0 on, whether (k + 1) / N has reached the share; that of
toy networks cuts the product of share and steps to a whole step, in floats. It stands apart from `schedules`, as the
configuration checks schedules without NumPy.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from largestep.config.cells import StepSizes
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
