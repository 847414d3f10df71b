"""C22: settings of the initial scale that a large step stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from largestep.config.scalars import Count, Distinct, Fraction, Name, Positive, Several
from largestep.config.studies.base import DATA_SETS, StudyBase


class InitialScale(StudyBase):
    """C22: SGD with large steps against SGD with small ones from smaller initial scales, a data set a seed."""

    kind: Literal["initial_scale"] = Field(description="large steps against small initial scales, diagonal network")
    experiment: Name = Field(description="experiment whose data, diagonal network and training are taken over")
    seeds: Count = Field(description="data sets, on each of which every run is made")
    steps: Several = Field(description="length in updates")
    step_sizes: Annotated[list[Positive], Field(min_length=2), Distinct] = Field(
        description="η of the large steps, until the decay, from the start of the experiment's network"
    )
    decay_at: Fraction = Field(description="fraction of training at which the large steps end")
    small_step_size: Positive = Field(description="η from there on, and that of all other runs throughout")
    scales: Annotated[list[Positive], Field(min_length=2), Distinct] = Field(
        description="α: initial value of every coordinate of u in the runs with small steps, v being 0"
    )

    @model_validator(mode="after")
    def steps_are_large(self) -> InitialScale:
        """Refuse large steps that are not larger than the small ones."""
        if min(self.step_sizes) <= self.small_step_size:
            raise ValueError(f"step_sizes must all be above small_step_size {self.small_step_size:g}")
        return self

    def replicates(self) -> dict[str, str]:
        """Data sets."""
        return {"": DATA_SETS}

    def uses(self) -> dict[str, list[str]]:
        """The experiment, without its cells: the schedules are the study's own."""
        return {self.experiment: []}

    def models(self) -> frozenset[str]:
        """Diagonal networks alone have the law of the scale."""
        return frozenset({"diagonal"})

    def thresholds(self) -> set[str]:
        """What counts as non-zero."""
        return {"l0_thresholds"}

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse updates that are not plain steps of one example, other starts, and data without new sets."""
        experiment = experiments[self.experiment]
        for key in experiment.training.additions():
            raise ValueError(f"experiment: {self.experiment} has {key}, but the law is that of plain steps")
        if experiment.training.batch_size != 1:
            raise ValueError(
                f"experiment: {self.experiment} has batch_size {experiment.training.batch_size}, the study follows "
                "single examples"
            )
        if experiment.data.kind != "sparse_regression":
            raise ValueError(f"experiment: data {experiment.data.kind} of {self.experiment} has no new set for a seed")
        if experiment.model.v != 0.0:
            raise ValueError(f"experiment: {self.experiment} starts with v {experiment.model.v:g}; scales are of v 0")
