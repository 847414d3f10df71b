"""C19: settings of the exact law of diagonal networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from largestep.config.scalars import Arm, Count, Name, Several
from largestep.config.studies.base import REPLICATES, StudyBase, check_single_examples


class ExactLaw(StudyBase):
    """C19: the predictor of a diagonal network from the gradients that its run of SGD has met."""

    kind: Literal["exact_law"] = Field(description="the exact law of diagonal networks under SGD")
    experiment: Name = Field(description="experiment whose data, diagonal network and training are taken over")
    arm: Arm = Field(description="what a seed varies, as in `training.arms`")
    cell: Name = Field(description="cell whose schedule is run")
    seeds: Count = Field(description="runs")
    evaluations: Several = Field(description="equal intervals of training after which the law is compared")

    def replicates(self) -> dict[str, str]:
        """What a seed varies in its arm."""
        return {"": REPLICATES[self.arm]}

    def uses(self) -> dict[str, list[str]]:
        """The one experiment, with its cell."""
        return {self.experiment: [self.cell]}

    def models(self) -> frozenset[str]:
        """Diagonal networks alone have this law."""
        return frozenset({"diagonal"})

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse updates that are not plain steps of one example, and more evaluations than steps."""
        experiment = experiments[self.experiment]
        check_single_examples(self.experiment, experiment, "the law")
        if self.evaluations >= experiment.training.steps:
            raise ValueError(
                f"evaluations: {self.evaluations} are not fewer than the {experiment.training.steps} steps"
            )
        if abs(experiment.model.u) == abs(experiment.model.v):
            raise ValueError(f"experiment: {self.experiment} starts with |u| = |v|, where the law has no scale")
