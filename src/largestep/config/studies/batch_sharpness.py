"""C18: settings of the batch sharpness along SGD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from largestep.config.scalars import Count, Name, Several, Strict
from largestep.config.studies.base import StudyBase


class SharpnessOf(Strict):
    """A network along whose runs of SGD the batch sharpness is measured, on the fixed data set."""

    cell: Name = Field(description="cell of the experiment whose schedule is run; its step size is divided")
    seeds: Count = Field(description="runs")


class BatchSharpness(StudyBase):
    """C18: the batch sharpness in the large-step phase of SGD and after it."""

    kind: Literal["batch_sharpness"] = Field(description="batch sharpness along SGD")
    networks: Annotated[dict[Name, SharpnessOf], Field(min_length=1)] = Field(
        description="what is measured, by experiment"
    )
    points: Several = Field(description="measurements in the second half of the large-step phase")
    points_after: Several = Field(description="measurements after it")

    def uses(self) -> dict[str, list[str]]:
        """Every experiment named, with its cell."""
        return {name: [net.cell] for name, net in self.networks.items()}

    def models(self) -> frozenset[str]:
        """Networks that know the curvature of a mini-batch along its gradient."""
        return frozenset({"diagonal", "dense"})

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse gradient descent, updates that are not plain, cells without a decay, and too short phases."""
        for name, net in self.networks.items():
            training, cell = experiments[name].training, experiments[name].cells[net.cell]
            for key in training.additions():
                raise ValueError(f"networks.{name}: {name} has {key}, but the edge of stability is that of plain steps")
            if training.batch_size == "full":
                raise ValueError(f"networks.{name}: a full batch is no mini-batch; study sharpness measures those")
            if not cell.decays:
                raise ValueError(f"networks.{name}: cell {net.cell} has no decay, which ends the large-step phase")
            phase = int(cell.decays[0].at * training.steps)
            if phase // 2 < self.points or training.steps - phase <= self.points_after:
                raise ValueError(
                    f"networks.{name}: cell {net.cell} has fewer steps before or after its decay than points"
                )
