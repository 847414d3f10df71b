"""What the aggregate and the claims are told."""

from __future__ import annotations

from typing import Any

from pydantic import field_serializer

from largestep.config.cells import Published, StepSizes
from largestep.config.scalars import Strict
from largestep.specs.base import Spec


class CellEntry(Strict):
    """What the aggregate is told of a cell: its step sizes, the paper's values, and the digest of its spec."""

    schedule: StepSizes
    published: Published
    spec_sha256: str

    @field_serializer("published")
    def given(self, published: Published) -> dict[str, Any]:
        """Without what the paper does not report."""
        return published.model_dump(exclude_none=True)

    def reported(self) -> dict[str, Any]:
        """What the paper reports, by measure."""
        return self.given(self.published)


class ExperimentEntry(Strict):
    """What the aggregate is told of an experiment; data and model are their kinds, training is in words."""

    title: str
    paper: str
    data: str
    model: str
    training: str
    algorithm: str
    cells: dict[str, CellEntry]


class StudyEntry(Strict):
    """What the aggregate is told of a study."""

    title: str
    paper: str
    spec_sha256: str


class AggregateSpec(Spec):
    """What the aggregates need beside the stores: order, titles and the paper's values."""

    studies: dict[str, StudyEntry]
    experiments: dict[str, ExperimentEntry]


class StudyLeftOut(Strict):
    """A study that this run leaves out: the scale at which it runs, or `only`."""

    scale: str
    kind: str


class ClaimsSpec(Spec):
    """What the claims may ask for and this run leaves out, and what it repeats.

    experiments: the scale at which each runs, or `only`. comparisons: the kind of model of every such experiment whose
    cells keep large steps for different durations. replicates: what the seeds of each arm, study, or run of a study
    that is run replicate, by name. own: the experiments that are run of a user's own network or images, and the studies
    of these.
    """

    experiments: dict[str, str]
    comparisons: dict[str, str]
    studies: dict[str, StudyLeftOut]
    replicates: dict[str, str]
    own: list[str]
