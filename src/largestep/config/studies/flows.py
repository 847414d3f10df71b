"""C6, C7: settings of SGD beside flows and the SDE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from largestep.config.scalars import Count, Name, Several
from largestep.config.studies.base import StudyOfFeatures


class Flows(StudyOfFeatures):
    """C6, C7: SGD beside gradient descent, gradient flow and the SDE, at the schedule of one cell (Fig. 9)."""

    kind: Literal["flows"] = Field(description="SGD, gradient descent, gradient flow and the SDE under one schedule")
    experiment: Name = Field(description="experiment of plain SGD, one example a step")
    cell: Name = Field(description="cell whose schedule all follow; its step size is divided")
    seeds: Count = Field(description="seeds of SGD to try")
    pairs: Count = Field(description="seeds to compare, the first on which SGD does not diverge; at most `seeds`")
    substeps: Count = Field(description="steps of the SDE and of gradient flow to one of SGD")
    snapshots: Several = Field(description="equal intervals between measures of rank and sparsity")

    @model_validator(mode="after")
    def enough_seeds(self) -> Flows:
        """Refuse more pairs than seeds."""
        if self.pairs > self.seeds:
            raise ValueError(f"pairs {self.pairs} exceeds seeds {self.seeds}")
        return self

    def uses(self) -> dict[str, list[str]]:
        """The one cell."""
        return {self.experiment: [self.cell]}

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse all but plain SGD with a large-step phase: the SDE is derived for that."""
        training = experiments[self.experiment].training
        drawn = {"batch_size": 1, "sampling": "with_replacement"}
        others = {key: value for key, value in drawn.items() if getattr(training, key) != value}
        for key, value in (others | training.additions()).items():
            raise ValueError(f"experiment: {self.experiment} must be trained with {key} {value}")
        if not experiments[self.experiment].cells[self.cell].decays:
            raise ValueError(f"cell: {self.cell} has no decay to end its large-step phase")
