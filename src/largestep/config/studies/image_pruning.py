"""C20: settings of the causal pruning of image classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from largestep.config.scalars import Count, Distinct, Name, Strict
from largestep.config.studies.base import StudyBase
from largestep.config.studies.pruning import check_thresholds


class PrunedClassifier(Strict):
    """A classifier that is pruned at the end of the runs of some of its cells."""

    cells: Annotated[list[Name], Field(min_length=1), Distinct] = Field(description="cells whose runs are pruned")
    seeds: Count = Field(description="runs of every cell")


class ImagePruning(StudyBase):
    """C20: the loss of image classifiers of dense layers after redundant units are deleted."""

    kind: Literal["image_pruning"] = Field(description="causal pruning of image classifiers of dense layers")
    networks: Annotated[dict[Name, PrunedClassifier], Field(min_length=1)] = Field(
        description="what is pruned, by experiment"
    )

    def uses(self) -> dict[str, list[str]]:
        """Every experiment named, with its cells."""
        return {name: net.cells for name, net in self.networks.items()}

    def models(self) -> frozenset[str]:
        """Networks whose units are those of dense layers."""
        return frozenset({"mlp"})

    def thresholds(self) -> set[str]:
        """What makes a unit redundant."""
        return {"correlation_thresholds", "normalise_activations"}

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse networks whose thresholds differ."""
        check_thresholds(self.networks, experiments)
