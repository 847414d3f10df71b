"""C20: settings of the causal pruning of toy networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from largestep.config.scalars import Count, Distinct, Fraction, Name, Positive, Strict
from largestep.config.studies.base import StudyBase, check_decays


class PrunedNet(Strict):
    """A network that is pruned at the end of runs of SGD on the fixed data set, and the schedules of these."""

    step_size: Positive = Field(description="η of the large step, until the decay")
    decayed_step_size: Positive = Field(description="η from there on, and that of the runs without a large step")
    decay_at: Annotated[list[Fraction], Field(min_length=2), Distinct] = Field(
        description="fractions of training at which the large step ends"
    )
    seeds: Count = Field(description="runs of every schedule")


class Pruning(StudyBase):
    """C20: the loss after the units are deleted that the measure of sparsity calls redundant."""

    kind: Literal["pruning"] = Field(description="causal pruning of toy networks")
    networks: Annotated[dict[Name, PrunedNet], Field(min_length=1)] = Field(description="what is pruned, by experiment")

    def uses(self) -> dict[str, list[str]]:
        """Every experiment named, without its cells: the schedules are the study's own."""
        return {name: [] for name in self.networks}

    def models(self) -> frozenset[str]:
        """Networks with units."""
        return frozenset({"dense"})

    def thresholds(self) -> set[str]:
        """What makes a unit redundant."""
        return {"correlation_thresholds", "normalise_activations"}

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse networks whose thresholds differ, steps that do not shrink, and schedules that are the same."""
        check_thresholds(self.networks, experiments)
        for name, net in self.networks.items():
            if net.decayed_step_size >= net.step_size:
                raise ValueError(f"networks.{name}: decayed_step_size must be below step_size")
            training = experiments[name].training
            check_decays(f"networks.{name}.decay_at", net.decay_at, training.steps, training.decay_after_update)


def check_thresholds(networks: Mapping[str, Any], experiments: Mapping[str, Any]) -> None:
    """Refuse networks of one study that have different thresholds."""
    first = next(iter(networks))
    for name in networks:
        if experiments[name].measures.correlation_thresholds != experiments[first].measures.correlation_thresholds:
            raise ValueError(
                f"networks: {name} and {first} have different measures.correlation_thresholds; make two studies of them"
            )
