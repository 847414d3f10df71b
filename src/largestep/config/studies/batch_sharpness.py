"""C18: settings of the batch sharpness along SGD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from largestep import decay_steps
from largestep.config.scalars import Count, Name, Several, Strict
from largestep.config.studies.base import StudyBase


class SharpnessOf(Strict):
    """A network along whose runs of SGD the batch sharpness is measured, on the fixed data set."""

    cell: Name = Field(description="cell of the experiment whose schedule is run; its step size is divided")
    seeds: Count = Field(description="runs")


class AlongSgd(StudyBase):
    """What is measured along runs of SGD, in the second half of the large-step phase and after it."""

    networks: Annotated[dict[Name, SharpnessOf], Field(min_length=1)] = Field(
        description="what is measured, by experiment"
    )
    points: Several = Field(description="measurements in the second half of the large-step phase")
    points_after: Several = Field(description="measurements after it")

    def uses(self) -> dict[str, list[str]]:
        """Every experiment named, with its cell."""
        return {name: [net.cell] for name, net in self.networks.items()}

    def steps(self, name: str, experiment: Any) -> int:
        """Length of training. Raises ValueError where the experiment cannot be measured."""
        raise NotImplementedError

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse updates that are not plain, cells without a decay, too short phases, and what `steps` refuses."""
        for name, net in self.networks.items():
            experiment, cell = experiments[name], experiments[name].cells[net.cell]
            for key in experiment.training.additions():
                raise ValueError(f"networks.{name}: {name} has {key}, but the edge of stability is that of plain steps")
            steps = self.steps(name, experiment)
            if not cell.decays:
                raise ValueError(f"networks.{name}: cell {net.cell} has no decay, which ends the large-step phase")
            # Of images with the step that ends it.
            phase = decay_steps.first(cell.decays[0].at, steps, images=experiment.images) + experiment.images
            if phase // 2 < self.points or steps - phase <= self.points_after:
                raise ValueError(
                    f"networks.{name}: cell {net.cell} has fewer steps before or after its decay than points"
                )


class BatchSharpness(AlongSgd):
    """C18: the batch sharpness in the large-step phase of SGD and after it."""

    kind: Literal["batch_sharpness"] = Field(description="batch sharpness along SGD")

    def models(self) -> frozenset[str]:
        """Networks that know the curvature of a mini-batch along its gradient."""
        return frozenset({"diagonal", "dense"})

    def steps(self, name: str, experiment: Any) -> int:
        """Length of training; gradient descent is refused."""
        if experiment.training.batch_size == "full":
            raise ValueError(f"networks.{name}: a full batch is no mini-batch; study sharpness measures those")
        return int(experiment.training.steps)
