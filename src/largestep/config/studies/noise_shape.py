"""C21: settings of the shapes of noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from largestep.config.scalars import Count, Fraction, Name, Positive, Several
from largestep.config.studies.base import DATA_SETS, StudyBase, check_decays, check_new_sets, check_single_examples


class NoiseShape(StudyBase):
    """C21: SGD's own noise against isotropic noise, label noise and a penalty on the gradients, a data set a seed."""

    kind: Literal["noise_shape"] = Field(description="shapes of noise on a diagonal network")
    experiment: Name = Field(description="experiment whose data, diagonal network and training are taken over")
    seeds: Count = Field(description="data sets, on each of which every arm has a run")
    steps: Several = Field(description="length in updates")
    step_size: Positive = Field(description="η of the large step of all arms, until the decay")
    decay_at: Fraction = Field(description="fraction of training at which the large step ends")
    decayed_step_size: Positive = Field(description="η from there on")
    evaluations: Several = Field(description="equal intervals of training between evaluations of the loss")

    def replicates(self) -> dict[str, str]:
        """Data sets."""
        return {"": DATA_SETS}

    def uses(self) -> dict[str, list[str]]:
        """The experiment, without its cells: the schedule is the study's own."""
        return {self.experiment: []}

    def models(self) -> frozenset[str]:
        """Networks that know the noise of SGD."""
        return frozenset({"diagonal"})

    def thresholds(self) -> set[str]:
        """What counts as non-zero."""
        return {"l0_thresholds"}

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse updates that are not plain steps of one example, data without new sets, and steps that grow."""
        experiment = experiments[self.experiment]
        check_single_examples(self.experiment, experiment, "the noise")
        check_new_sets(self.experiment, experiment)
        check_decays("decay_at", [self.decay_at], self.steps, experiment.training.decay_after_update)
        if self.decayed_step_size >= self.step_size:
            raise ValueError(f"decayed_step_size: must be below step_size {self.step_size:g}")
        if self.evaluations >= self.steps:
            raise ValueError(f"evaluations: {self.evaluations} are not fewer than the {self.steps} steps")
