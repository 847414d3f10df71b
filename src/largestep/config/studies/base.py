"""What all studies share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from largestep import decay_steps, stages
from largestep.config.measures import Thresholds
from largestep.config.scalars import Fraction, Name, Scale, Several, Strict

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


class StudyOfNewSets(StudyBase):
    """A study of SGD, by single examples, on the diagonal network of an experiment, with a data set a seed."""

    experiment: Name = Field(description="experiment whose data, diagonal network and training are taken over")
    steps: Several = Field(description="length in updates")
    decay_at: Fraction = Field(description="fraction of training at which the large step ends")

    def replicates(self) -> dict[str, str]:
        """Data sets."""
        return {"": DATA_SETS}

    def uses(self) -> dict[str, list[str]]:
        """The experiment, without its cells: the schedules are the study's own."""
        return {self.experiment: []}

    def models(self) -> frozenset[str]:
        """Diagonal networks alone know the law of their scale and the noise of SGD."""
        return frozenset({"diagonal"})

    def thresholds(self) -> set[str]:
        """What counts as non-zero."""
        return {"l0_thresholds"}

    def check_updates(self, experiment: Any, known: str) -> None:
        """Refuse updates that are not plain steps of one example, data without new sets, and no large or small step.

        known: as in `check_single_examples`.
        """
        check_single_examples(self.experiment, experiment, known)
        check_new_sets(self.experiment, experiment)
        check_decays("decay_at", [self.decay_at], self.steps, experiment.training.decay_after_update)


def check_single_examples(name: str, experiment: Any, known: str) -> None:
    """Refuse updates that are not plain steps of one example; known: what the study has of these alone."""
    for key in experiment.training.additions():
        raise ValueError(f"experiment: {name} has {key}, but {known} is that of plain steps")
    if experiment.training.batch_size != 1:
        raise ValueError(
            f"experiment: {name} has batch_size {experiment.training.batch_size}, the study follows single examples"
        )


def check_new_sets(name: str, experiment: Any) -> None:
    """Refuse data of which a seed has no new set."""
    if experiment.data.kind != "sparse_regression":
        raise ValueError(f"experiment: data {experiment.data.kind} of {name} has no new set for a seed")


def check_decays(key: str, fractions: Sequence[float], steps: int, after_update: bool) -> None:
    """Refuse large steps of toy networks that end before the first step or at no step, or two at the same one."""
    ends: dict[int, float] = {}
    for at in fractions:
        first = decay_steps.first(at, steps, images=False, after_update=after_update)
        if not 1 <= first < steps:
            kind = "large" if first < 1 else "small"
            raise ValueError(f"{key}: {at:g} of {steps} steps leaves no {kind} step; move it, or train longer")
        if first in ends:
            raise ValueError(
                f"{key}: {ends[first]} and {at} of {steps} steps are the same step; set them farther apart"
            )
        ends[first] = at
