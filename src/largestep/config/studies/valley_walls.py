"""C24: settings of the walk between valley walls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from largestep import decay_steps
from largestep.config.cells import StepSizes
from largestep.config.scalars import Count, Name, Several
from largestep.config.studies.base import StudyBase


class ValleyWalls(StudyBase):
    """C24: the loss between successive iterates of SGD, and whether successive updates undo each other."""

    kind: Literal["valley_walls"] = Field(description="the loss between successive iterates of SGD")
    seeds: Count = Field(description="runs of every network, on the fixed data set")
    windows: Several = Field(
        description="windows over the second half of the large-step phase, and as many over that of what follows"
    )
    updates: Several = Field(description="successive updates followed in each window")
    # A column of the figure each.
    networks: Annotated[dict[Name, StepSizes], Field(min_length=1, max_length=3)] = Field(
        description="what is followed, by experiment: its step size and schedule, with a decay"
    )

    def uses(self) -> dict[str, list[str]]:
        """Every experiment named, without its cells: the schedules are the study's own."""
        return {name: [] for name in self.networks}

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse updates that are not plain steps of mini-batches, schedules without a decay, and too short phases."""
        for name, sizes in self.networks.items():
            where, training = f"networks.{name}", experiments[name].training
            for key in training.additions():
                raise ValueError(f"{where}: {name} has {key}, but the walk is that of plain steps")
            if training.batch_size == "full":
                raise ValueError(f"{where}: {name} has batch_size full, but the walk is that of mini-batches")
            if not sizes.decays:
                raise ValueError(f"{where}: has no decays, of which the first ends the large-step phase; give one")
            phase = decay_steps.first(
                sizes.decays[0].at, training.steps, images=False, after_update=training.decay_after_update
            )
            try:
                sizes.in_steps(training.steps, images=False, after_update=training.decay_after_update)
            except ValueError as error:
                raise ValueError(f"{where}.{error}") from error
            needed = 2 * self.windows * (self.updates + 1)
            if min(phase, training.steps - 1 - phase) < needed:
                raise ValueError(
                    f"{where}: {needed} steps are needed before and after the decay at step {phase}; lower windows or "
                    "updates, or train longer"
                )
