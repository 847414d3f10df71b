"""C22: settings of the initial scale that a large step stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from largestep.config.scalars import Count, Distinct, Fraction, Name, Positive, Several
from largestep.config.studies.base import DATA_SETS, StudyBase, check_decays, check_new_sets, check_single_examples


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
        description="α: initial value of every coordinate of u in the runs with small steps, v being 0; the largest is "
        "that of the experiment, where the large steps start"
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
        check_single_examples(self.experiment, experiment, "the law")
        check_new_sets(self.experiment, experiment)
        check_decays("decay_at", [self.decay_at], self.steps, experiment.training.decay_after_update)
        if experiment.model.v != 0.0:
            raise ValueError(f"experiment: {self.experiment} starts with v {experiment.model.v:g}; scales are of v 0")
        # C22 compares the large steps with small ones from their own start.
        if max(self.scales) != abs(experiment.model.u):
            raise ValueError(
                f"scales: the largest is {max(self.scales):g}, but must be |u| of {self.experiment}, "
                f"{abs(experiment.model.u):g}, where the large steps start"
            )
