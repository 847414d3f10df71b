"""C21: settings of the shapes of noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from largestep.config.scalars import Count, Positive, Several
from largestep.config.studies.base import StudyOfNewSets


class NoiseShape(StudyOfNewSets):
    """C21: SGD's own noise against isotropic noise, label noise and a penalty on the gradients, a data set a seed."""

    kind: Literal["noise_shape"] = Field(description="shapes of noise on a diagonal network")
    seeds: Count = Field(description="data sets, on each of which every arm has a run")
    step_size: Positive = Field(description="η of the large step of all arms, until the decay")
    decayed_step_size: Positive = Field(description="η from there on")
    evaluations: Several = Field(description="equal intervals of training between evaluations of the loss")

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse updates that are not plain steps of one example, data without new sets, and steps that grow."""
        self.check_updates(experiments[self.experiment], "the noise")
        if self.decayed_step_size >= self.step_size:
            raise ValueError(f"decayed_step_size: must be below step_size {self.step_size:g}")
        if self.evaluations >= self.steps:
            raise ValueError(f"evaluations: {self.evaluations} are not fewer than the {self.steps} steps")
