"""What all studies share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from largestep import stages
from largestep.config.measures import Thresholds
from largestep.config.scalars import Scale, Strict

TOYS = frozenset(stages.TOYS)
# What the seeds of a study or of an arm replicate.
ONE_DATA_SET, DATA_SETS, NO_DATA = "runs on one data set", "data sets", "draws, without data"
REPLICATES = {"order": ONE_DATA_SET, "data": DATA_SETS}
# What figures and tables say of a study, and when it runs: no spec has them.
NOT_IN_SPECS: dict[str, Any] = {"title": "", "paper": "", "scale": "laptop"}


class StudyBase(Strict):
    """What all studies share."""

    if TYPE_CHECKING:
        kind: str
    title: str = Field(description="how figures and tables name it")
    paper: str = Field(description="the figure or statement of the paper that it reproduces, or that there is none")
    scale: Scale = Field(description="the smallest scale at which it runs")

    def in_spec(self) -> dict[str, Any]:
        """What its job reads, as JSON."""
        return self.model_dump(mode="json", exclude=set(NOT_IN_SPECS))

    @classmethod
    def of_spec(cls, settings: Mapping[str, Any]) -> Self:
        """The settings that `in_spec` gave."""
        return cls.model_validate(NOT_IN_SPECS | dict(settings))

    def uses(self) -> dict[str, list[str]]:
        """The experiments whose data, model and training the study takes over, each with the cells it needs."""
        return {}

    def replicates(self) -> dict[str, str]:
        """What its seeds replicate, by run where that differs between its runs, by "" else; for the table of claims."""
        return {"": ONE_DATA_SET}

    def models(self) -> frozenset[str]:
        """Kinds of model that these experiments may have."""
        return TOYS

    def thresholds(self) -> set[str]:
        """Keys of the experiments' `measures` that the study reads."""
        return set()

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Raise ValueError, naming the key, where a setting does not suit the experiments used."""


class StudyOfFeatures(StudyBase):
    """A study that takes the measures of the cells."""

    def thresholds(self) -> set[str]:
        """All: it takes the measures that the cells take."""
        return {*Thresholds.model_fields, "normalise_activations"}
