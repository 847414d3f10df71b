"""What a study is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import field_serializer, field_validator

from largestep.config.cells import StepSizes
from largestep.config.measures import Measures
from largestep.config.models import Model, ToyNet
from largestep.config.scalars import Strict
from largestep.config.studies import settings_of
from largestep.config.studies.base import StudyBase
from largestep.config.training import ImageTraining, ToyTraining
from largestep.specs.base import Spec
from largestep.specs.cells import DataSpec


class _Used(Strict):
    """What a study takes of an experiment; of its measures, the thresholds that the study reads."""

    data: DataSpec
    measures: Measures
    schedules: dict[str, StepSizes]

    @field_serializer("measures")
    def read_by_the_study(self, measures: Measures) -> dict[str, Any]:
        """Those that are given."""
        return measures.model_dump(mode="json", include=measures.model_fields_set)


class UsedToy(_Used):
    """What a study takes of an experiment on a toy network."""

    if TYPE_CHECKING:
        model: ToyNet
    else:
        model: Model
    training: ToyTraining


class UsedClassifier(_Used):
    """What a study takes of an experiment on an image classifier."""

    model: Model
    training: ImageTraining


Settings = TypeVar("Settings", bound=StudyBase)
Used = TypeVar("Used", bound=UsedToy | UsedClassifier)


class StudySpec(Spec, Generic[Settings, Used]):
    """What a study is told: its settings, less what only figures and tables say of it, and what it takes over."""

    study: str
    settings: Settings
    experiments: dict[str, Used]

    @field_validator("settings", mode="before")
    @classmethod
    def by_kind(cls, value: Any) -> Any:
        """Settings of the type that `kind` says."""
        return settings_of(value) if isinstance(value, Mapping) else value

    @field_serializer("settings")
    def read_by_the_job(self, settings: StudyBase) -> dict[str, Any]:
        """All but title and scale."""
        return settings.in_spec()
