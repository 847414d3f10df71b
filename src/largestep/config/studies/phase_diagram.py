"""C4, C5, C8: settings of a phase diagram."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from largestep.config.kinds import kinds
from largestep.config.models import ToyNet
from largestep.config.scalars import Arm, Count, Fraction, Name, Positive, Several, Strict
from largestep.config.studies.base import REPLICATES, StudyBase


class Range(Strict):
    """Evenly spaced values, both ends included."""

    low: Positive = Field(description="smallest value")
    high: Positive = Field(description="largest value; above `low`")
    count: Several = Field(description="number of values, both ends included")

    @model_validator(mode="after")
    def not_empty(self) -> Range:
        """Refuse a range that does not rise."""
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must lie below high {self.high:g}")
        return self


class PhaseDiagram(StudyBase):
    """C4, C5, C8: every step size with every decay time, decayed to one step size (extends Fig. 2)."""

    kind: Literal["phase_diagram"] = Field(description="every step size with every decay time")
    experiment: Name = Field(description="experiment whose data, diagonal network and training are taken over")
    arm: Arm = Field(description="what a seed varies, as in `training.arms`")
    cells: list[Name] = Field(description="cells of the experiment that the figure marks")
    step_sizes: Range = Field(description="large step sizes")
    decay_at: Annotated[list[Fraction], Field(min_length=2)] = Field(
        description="fractions of training at which the large step ends, in increasing order"
    )
    decayed_step_size: Positive = Field(description="step size of all runs after the decay")
    seeds: Count = Field(description="runs per point")

    def replicates(self) -> dict[str, str]:
        """What a seed varies in its arm."""
        return {"": REPLICATES[self.arm]}

    def uses(self) -> dict[str, list[str]]:
        """The one experiment, with the published cells."""
        return {self.experiment: self.cells}

    def thresholds(self) -> set[str]:
        """What counts as non-zero."""
        return {"l0_thresholds"}

    def models(self) -> frozenset[str]:
        """Networks with a linear predictor, whose errors on and off the support are measured."""
        return frozenset(kinds(*(each for each in ToyNet.__subclasses__() if each.linear)))

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse label noise, which its runs do not draw."""
        if experiments[self.experiment].training.label_noise:
            raise ValueError(f"experiment: {self.experiment} has label_noise, which a phase diagram does not draw")

    @model_validator(mode="after")
    def decay_times_rise(self) -> PhaseDiagram:
        """Refuse decay times out of order: each goes on from the one before."""
        if any(later <= earlier for earlier, later in pairwise(self.decay_at)):
            raise ValueError(f"decay_at must increase, not be {self.decay_at}")
        return self
