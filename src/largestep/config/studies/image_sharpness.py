"""C18: settings of the curvature of image classifiers along SGD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from largestep import stages
from largestep.config.scalars import Name, Several
from largestep.config.studies.base import StudyBase
from largestep.config.studies.batch_sharpness import SharpnessOf


class ImageSharpness(StudyBase):
    """C18: sharpness and batch sharpness of image classifiers, in training mode and at the batch they train with."""

    kind: Literal["image_sharpness"] = Field(description="sharpness and batch sharpness of image classifiers along SGD")
    networks: Annotated[dict[Name, SharpnessOf], Field(min_length=1)] = Field(
        description="what is measured, by experiment"
    )
    points: Several = Field(description="measurements in the second half of the large-step phase")
    points_after: Several = Field(description="measurements after it")

    def uses(self) -> dict[str, list[str]]:
        """Every experiment named, with its cell."""
        return {name: [net.cell] for name, net in self.networks.items()}

    def models(self) -> frozenset[str]:
        """The image classifiers of the package."""
        return frozenset(stages.NETWORKS)

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse updates that are not plain, cells without a decay, and too short phases."""
        for name, net in self.networks.items():
            experiment, cell = experiments[name], experiments[name].cells[net.cell]
            for key in experiment.training.additions():
                raise ValueError(f"networks.{name}: {name} has {key}, but the edge of stability is that of plain steps")
            if experiment.examples() is None:
                raise ValueError(f"networks.{name}: the size of its data set is not known; set data.examples there")
            if not cell.decays:
                raise ValueError(f"networks.{name}: cell {net.cell} has no decay, which ends the large-step phase")
            steps = experiment.training.epochs * (experiment.examples() // experiment.training.batch_size)
            phase = int(cell.decays[0].at * steps)
            if phase // 2 < self.points or steps - phase <= self.points_after:
                raise ValueError(
                    f"networks.{name}: cell {net.cell} has fewer steps before or after its decay than points"
                )
