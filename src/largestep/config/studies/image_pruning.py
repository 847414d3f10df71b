"""C20: settings of the causal pruning of image classifiers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from largestep.config.scalars import Count, Distinct, Name, Strict
from largestep.config.studies.base import StudyBase
from largestep.config.studies.pruning import check_thresholds


class PrunedClassifier(Strict):
    """A classifier that is pruned at the end of the runs of some of its cells."""

    cells: Annotated[list[Name], Field(min_length=1), Distinct] = Field(
        description="cells whose runs are pruned: one constant, the others divided once, from one size to its size"
    )
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
        """Refuse networks whose thresholds differ, and cells that differ in more than how long large steps last."""
        check_thresholds(self.networks, experiments)
        for name, net in self.networks.items():
            _check_durations(f"networks.{name}.cells", {cell: experiments[name].cells[cell] for cell in net.cells})


def _check_durations(key: str, cells: Mapping[str, Any]) -> None:
    """Refuse all but one constant cell, the small step, and cells divided once, from one size down to the small one."""
    constant = [name for name, cell in cells.items() if not cell.decays and cell.warmup is None]
    if len(constant) != 1:
        raise ValueError(f"{key}: one must be constant, the small step, not {constant or 'none'}")
    large = {name: cell for name, cell in cells.items() if name != constant[0]}
    if not large:
        raise ValueError(f"{key}: one must have large steps, beside {constant[0]}")
    small, peak = cells[constant[0]].step_size, next(iter(large.values())).step_size
    for name, cell in large.items():
        if cell.warmup is not None or len(cell.decays) != 1 or cell.step_size != peak:
            raise ValueError(
                f"{key}: {name} must be divided once, from {peak:g}, without warm-up, to differ in duration alone"
            )
        decayed = cell.step_size / cell.decays[0].divide_by
        if not math.isclose(decayed, small):
            raise ValueError(f"{key}: {name} decays to {decayed:g}, not to the step size of {constant[0]}, {small:g}")
