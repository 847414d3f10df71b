"""C2: settings of the one-dimensional model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from largestep.config.scalars import Count, NonNegative, Positive, Several, Strict
from largestep.config.studies.base import NO_DATA, StudyBase


class Attractor(Strict):
    """The values of γ whose last iterates are shown, without noise and with γ uniform within `spread` of them."""

    lowest: Positive = Field(description="smallest γ")
    highest: Positive = Field(description="largest γ; above `lowest`")
    points: Several = Field(description="number of values of γ, evenly spaced")
    spread: NonNegative = Field(description="largest deviation of γ from its value, drawn uniformly at every update")


class Bouncing(StudyBase):
    """C2: the one-dimensional model over ranges of γ = η θ*² x² (Proposition 2.2)."""

    kind: Literal["bouncing"] = Field(description="Proposition 2.2, over ranges of γ = η θ*² x²")
    ranges: Annotated[list[Annotated[list[Positive], Field(min_length=2, max_length=2)]], Field(min_length=1)] = Field(
        description="pairs of a smallest and a largest γ, between which it is drawn uniformly at every update"
    )
    seeds: Count = Field(description="sequences of γ per range and start")
    starts: Count = Field(description="starting points, evenly spaced in (0, θ*)")
    steps: Count = Field(description="length of a run in updates")
    tail: Count = Field(description="updates at the end of a run in which it has to bounce; fewer than `steps`")
    attractor: Attractor = Field(description="the bifurcation diagram")

    def replicates(self) -> dict[str, str]:
        """Sequences of γ: the model has no data set."""
        return {"": NO_DATA}

    @model_validator(mode="after")
    def parts_fit(self) -> Bouncing:
        """Refuse ranges that are empty and a tail that leaves no start."""
        for low, high in [*self.ranges, [self.attractor.lowest, self.attractor.highest]]:
            if low >= high:
                raise ValueError(f"gamma must range from a smaller to a larger value, not from {low:g} to {high:g}")
        if self.tail >= self.steps:
            raise ValueError(f"tail {self.tail} leaves nothing before it: steps is {self.steps}")
        return self
