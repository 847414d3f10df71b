"""C22: settings of the initial scale that a large step stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from largestep.config.scalars import Count, Distinct, Positive
from largestep.config.studies.base import StudyOfNewSets


class InitialScale(StudyOfNewSets):
    """C22: SGD with large steps against SGD with small ones from smaller initial scales, a data set a seed."""

    kind: Literal["initial_scale"] = Field(description="large steps against small initial scales, diagonal network")
    seeds: Count = Field(description="data sets, on each of which every run is made")
    step_sizes: Annotated[list[Positive], Field(min_length=2), Distinct] = Field(
        description="η of the large steps, until the decay, from the start of the experiment's network"
    )
    small_step_size: Positive = Field(description="η from there on, and that of all other runs throughout")
    scales: Annotated[list[Positive], Field(min_length=2), Distinct] = Field(
        description="α: initial value of every coordinate of u in the runs with small steps, v being 0; the largest is "
        "that of the experiment, where the large steps start"
    )

    @model_validator(mode="after")
    def steps_are_large(self) -> InitialScale:
        """Refuse large steps that are not larger than the small ones."""
        if min(self.step_sizes) <= self.small_step_size:
            raise ValueError(f"step_sizes must all be above small_step_size {self.small_step_size:g}")
        return self

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse updates that are not plain steps of one example, other starts, and data without new sets."""
        experiment = experiments[self.experiment]
        self.check_updates(experiment, "the law")
        if experiment.model.v != 0.0:
            raise ValueError(f"experiment: {self.experiment} starts with v {experiment.model.v:g}; scales are of v 0")
        # C22 compares the large steps with small ones from their own start.
        if max(self.scales) != abs(experiment.model.u):
            raise ValueError(
                f"scales: the largest is {max(self.scales):g}, but must be |u| of {self.experiment}, "
                f"{abs(experiment.model.u):g}, where the large steps start"
            )
