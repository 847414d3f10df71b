"""How the step size changes along training, in units of a cell's step size."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from largestep import decay_steps
from largestep.config.kinds import kinds
from largestep.config.scalars import Fraction, Positive, Strict


def _divides(value: float) -> float:
    """Refuse what does not divide: a step size that grows would count as one that decays."""
    if value <= 1:
        mend = f"; to make the step size smaller, write 1/γ where torch has γ: {1 / value:g}" if value < 1 else ""
        raise ValueError(f"must be above 1{mend}")
    return value


# Of a step size.
Divisor = Annotated[Positive, AfterValidator(_divides)]
Growth = Annotated[float, Field(gt=1)]


class PowerWarmup(Strict):
    """η (1 + (F − 1) (i/N)^e) at step i of N until the first decay, for step size η, factor F and exponent e."""

    kind: Literal["power"] = Field(description="a power of the step")
    factor: Growth = Field(description="F, that of the step size at the end of training if the warm-up lasted to it")
    exponent: Positive = Field(description="e; 1 is a straight line")


class ExponentialWarmup(Strict):
    """η b^(100 i/N) at step i of N until the first decay, for step size η and base b."""

    kind: Literal["exponential"] = Field(description="an exponential of the step")
    base: Growth = Field(description="b, the growth of the step size per percent of training")


class LinearWarmup(Strict):
    """From `start` times the step size up to it, linearly over the fraction `until` of training."""

    kind: Literal["linear"] = Field(description="a straight line that ends at the step size")
    start: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.0, description="fraction of the step size at step 0")
    until: Fraction = Field(description="fraction of training at which the step size is reached")


Warmup = PowerWarmup | ExponentialWarmup | LinearWarmup
WARMUP_KINDS = kinds(*get_args(Warmup))


class Decay(Strict):
    """One division of the step size that the schedule has reached by then, its warm-up included."""

    at: Fraction = Field(description="fraction of training at which it falls due")
    divide_by: Divisor = Field(description="divisor of the step size, above 1")


class ScheduleConfig(Strict):
    """A schedule that cells can name: all but their step size. Without any key the step size is constant."""

    warmup: Annotated[Warmup, Field(discriminator="kind")] | None = Field(
        default=None, description="how the step size grows at first; null: it does not"
    )
    decays: list[Decay] = Field(default_factory=list, description="divisions of the step size, in order of time")
    annealing: Literal["cosine"] | None = Field(
        default=None,
        description="half a cosine from the step size that the warm-up has reached to 0 at the end, in place of decays",
    )

    @model_validator(mode="after")
    def schedule_is_ordered(self) -> ScheduleConfig:
        """Refuse decays out of order, a warm-up without end or beyond the first decay, and two ways to decay."""
        fractions = [decay.at for decay in self.decays]
        if any(later <= earlier for earlier, later in pairwise(fractions)):
            raise ValueError(f"decays must come in increasing order, not at {fractions}")
        if self.annealing is not None and self.decays:
            raise ValueError("annealing and decays exclude each other; keep one of them")
        if isinstance(self.warmup, LinearWarmup):
            if self.decays and self.warmup.until > fractions[0]:
                raise ValueError(f"warmup.until {self.warmup.until} lies after the first decay, at {fractions[0]}")
        elif self.warmup is not None and not self.decays:
            raise ValueError("warmup lasts until the first decay, but there is no decay")
        return self

    def in_steps(self, steps: int, images: bool, after_update: bool) -> dict[str, Any]:
        """The schedule with its fractions of training as steps; equal ones have the same step sizes.

        images: whether it is of an image classifier; if not, after_update says when a toy network's decays divide.
        Raises ValueError for one that cannot be taken in so few steps.
        """
        firsts = decay_steps.taken(self, steps, images=images, after_update=after_update)
        warmup = self.warmup.model_dump() if self.warmup else None
        divided = [(first, decay.divide_by) for first, decay in zip(firsts, self.decays, strict=True)]
        return {"warmup": warmup, "decays": divided, "annealing": self.annealing}
