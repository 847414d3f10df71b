"""C23: settings of schedules with several decays."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field

from largestep.config.scalars import Arm, Count, Distinct, Fraction, Name, Positive, Several, Strict
from largestep.config.studies.base import REPLICATES, StudyBase, check_decays

THRESHOLDS = ("l0_thresholds", "correlation_thresholds")


class Plateaus(Strict):
    """A network and the step sizes that it is trained with, one after the other."""

    step_sizes: Annotated[list[Positive], Field(min_length=3), Distinct] = Field(
        description="η of every plateau, each below the one before"
    )


class SeveralDecays(StudyBase):
    """C23: sparsity and error on every plateau of a step size that is divided several times."""

    kind: Literal["several_decays"] = Field(description="schedules with several decays, plateau by plateau")
    arm: Arm = Field(description="what a seed varies, as in `training.arms`")
    seeds: Count = Field(description="runs of every schedule")
    decay_at: Annotated[list[Fraction], Field(min_length=2)] = Field(
        description="fractions of training at which plateaus end, in increasing order"
    )
    points: Several = Field(description="measurements in every plateau, the last at its end")
    # A column of the figure each.
    networks: Annotated[dict[Name, Plateaus], Field(min_length=1, max_length=3)] = Field(
        description="what is trained, by experiment"
    )

    def replicates(self) -> dict[str, str]:
        """What a seed varies in its arm."""
        return {"": REPLICATES[self.arm]}

    def uses(self) -> dict[str, list[str]]:
        """Every experiment named, without its cells: the schedules are the study's own."""
        return {name: [] for name in self.networks}

    def thresholds(self) -> set[str]:
        """What counts as a feature."""
        return {*THRESHOLDS, "normalise_activations"}

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse steps that do not shrink, updates unlike plain SGD, empty plateaus, no test set, mixed thresholds."""
        if sorted(self.decay_at) != self.decay_at:
            raise ValueError("decay_at: must increase; write the fractions in order of time")
        for name, net in self.networks.items():
            where, training = f"networks.{name}", experiments[name].training
            if len(net.step_sizes) != len(self.decay_at) + 1:
                wanted = len(self.decay_at) + 1
                raise ValueError(f"{where}: needs {wanted} step_sizes, one more than decay_at has fractions")
            if any(later >= earlier for earlier, later in pairwise(net.step_sizes)):
                raise ValueError(f"{where}: step_sizes must fall from plateau to plateau")
            for key in training.additions():
                raise ValueError(f"{where}: {name} has {key}, but the schedules compared are of plain steps")
            if training.batch_size == "full":
                raise ValueError(f"{where}: {name} has batch_size full, but the schedules compared are of mini-batches")
            if not hasattr(experiments[name].data, "test_examples"):
                raise ValueError(f"{where}: data {experiments[name].data.kind} has no test set, whose loss is compared")
            check_decays("decay_at", self.decay_at, training.steps, training.decay_after_update)
            self._check_length(where, training.steps)
        for key in THRESHOLDS:
            given = {n: levels for n in self.networks if (levels := getattr(experiments[n].measures, key))}
            if len({tuple(levels) for levels in given.values()}) > 1:
                raise ValueError(
                    f"networks: {', '.join(given)} have different measures.{key}; make two studies of them"
                )

    def _check_length(self, where: str, steps: int) -> None:
        shortest = min(later - earlier for earlier, later in pairwise([0.0, *self.decay_at, 1.0]))
        if shortest * steps <= self.points + 1:
            raise ValueError(f"{where}: the shortest plateau has fewer steps than points")
