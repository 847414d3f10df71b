"""A cell: a step size and its schedule, with the values that the paper gives for it."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from largestep.config.scalars import Fraction, NonNegative, Positive, Strict


class PowerWarmup(Strict):
    """η (1 + (F − 1) (i/N)^e) at step i of N until the first decay, for step size η, factor F and exponent e."""

    kind: Literal["power"] = Field(description="a power of the step")
    factor: Positive = Field(description="F, that of the step size at the end of training if the warm-up lasted to it")
    exponent: Positive = Field(description="e; 1 is a straight line")


class ExponentialWarmup(Strict):
    """η b^(100 i/N) at step i of N until the first decay, for step size η and base b."""

    kind: Literal["exponential"] = Field(description="an exponential of the step")
    base: Positive = Field(description="b, the growth of the step size per percent of training")


class LinearWarmup(Strict):
    """From `start` times the step size up to it, linearly over the fraction `until` of training."""

    kind: Literal["linear"] = Field(description="a straight line that ends at the step size")
    start: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.0, description="fraction of the step size at step 0")
    until: Fraction = Field(description="fraction of training at which the step size is reached")


class Decay(Strict):
    """One division of the step size that the schedule has reached by then, its warm-up included."""

    at: Fraction = Field(description="fraction of training at which it falls due")
    divide_by: Positive = Field(description="divisor of the step size")


class Published(Strict):
    """Values of the paper's single run, shown beside ours; they decide nothing."""

    train_loss: NonNegative | None = Field(default=None, description="training loss at the end")
    test_loss: NonNegative | None = Field(default=None, description="test loss at the end; not for `points`")
    test_error: NonNegative | None = Field(default=None, description="test error at the end, in percent; of images")
    rank: NonNegative | None = Field(default=None, description="rank of the Jacobian at the end; of toy networks")
    l0: NonNegative | None = Field(
        default=None, description="non-zero coordinates of the predictor at the end; of diagonal networks"
    )
    feature_sparsity: list[NonNegative | None] | None = Field(
        default=None,
        description="feature sparsity coefficient at the end, a fraction per block; null where the paper gives none",
    )


class CellConfig(Strict):
    """One cell: a step size and its schedule, run for every seed."""

    step_size: Positive = Field(description="η, that of the first step but for a warm-up")
    warmup: Annotated[PowerWarmup | ExponentialWarmup | LinearWarmup, Field(discriminator="kind")] | None = Field(
        default=None, description="how the step size grows at first; null: it does not"
    )
    decays: list[Decay] = Field(default_factory=list, description="divisions of the step size, in order of time")
    annealing: Literal["cosine"] | None = Field(
        default=None,
        description="half a cosine from the step size that the warm-up has reached to 0 at the end, in place of decays",
    )
    published: Published = Field(default=Published(), description="what the paper gives for this cell, if anything")

    @model_validator(mode="after")
    def schedule_is_ordered(self) -> CellConfig:
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
