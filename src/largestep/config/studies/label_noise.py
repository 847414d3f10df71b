"""C1: settings of the check of Proposition 2.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from largestep.config.models import MODEL_KINDS
from largestep.config.scalars import Count, Distinct, Name, Several, Strict
from largestep.config.studies.base import TOYS, StudyBase


class CheckedNet(Strict):
    """A network whose steps are compared along the first updates of a run of SGD."""

    cell: Name = Field(description="cell of the experiment: its step sizes lead to the points of comparison")
    after: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), Distinct] = Field(
        description="numbers of updates before the comparisons"
    )
    examples: Several | None = Field(
        default=None, description="how many of the training set to use, its first ones; null: all"
    )


class LabelNoise(StudyBase):
    """C1: a step of SGD against a step of gradient descent with label noise (Proposition 2.1)."""

    kind: Literal["label_noise"] = Field(description="Proposition 2.1, by enumeration over the examples")
    seeds: Count = Field(description="runs per network")
    networks: Annotated[dict[Name, CheckedNet], Field(min_length=1)] = Field(
        description="what is compared, by experiment"
    )

    def uses(self) -> dict[str, list[str]]:
        """Every experiment named, with the cell that gives the step sizes."""
        return {name: [net.cell] for name, net in self.networks.items()}

    def models(self) -> frozenset[str]:
        """Toy networks, and the image classifiers of the package."""
        return TOYS | frozenset(MODEL_KINDS)

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse points beyond the end of a run, and more examples than there are."""
        for name, net in self.networks.items():
            training, examples = experiments[name].training, experiments[name].examples()
            if examples is None:
                raise ValueError(f"networks.{name}: the size of its data set is not known; set data.examples there")
            images = experiments[name].images
            steps = training.epochs * (examples // training.batch_size) if images else training.steps
            if max(net.after) >= steps:
                raise ValueError(f"networks.{name}.after: {max(net.after)} is not a step of a run of {steps} steps")
            if net.examples is not None and net.examples > examples:
                raise ValueError(f"networks.{name}.examples: {net.examples} exceeds the {examples} training examples")
