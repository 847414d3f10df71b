"""A cell: a step size and its schedule, with the values that the paper gives for it."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationInfo, model_validator

from largestep.config.named import filled
from largestep.config.scalars import Name, NonNegative, Positive, Strict
from largestep.config.schedules import ScheduleConfig


class Published(Strict):
    """Values of the paper's single run, shown beside ours; they decide nothing."""

    train_loss: NonNegative | None = Field(default=None, description="training loss at the end")
    test_loss: NonNegative | None = Field(default=None, description="test loss at the end; not for `points`")
    test_error: NonNegative | None = Field(default=None, description="test error at the end, in percent; of images")
    rank: NonNegative | None = Field(default=None, description="rank of the Jacobian at the end; of toy networks")
    l0: NonNegative | None = Field(
        default=None, description="non-zero coordinates of the predictor at the end; of diagonal networks"
    )
    feature_sparsity: list[NonNegative | None] | None = Field(
        default=None,
        description="feature sparsity coefficient at the end, a fraction per block; null where the paper gives none",
    )
    active_fraction: list[NonNegative | None] | None = Field(
        default=None, description="the same with correlated units counted apart, of all units of the block"
    )


class StepSizes(ScheduleConfig):
    """A step size and its schedule."""

    step_size: Positive = Field(description="η, that of the first step but for a warm-up")


class CellConfig(StepSizes):
    """One cell: a step size and its schedule, run for every seed.

    The schedule is written out or named; what is written beside a name takes the place of that part of it.
    """

    schedule: Name | None = Field(
        default=None, exclude=True, description="which of `schedules` it is; null: what is written here"
    )
    published: Published = Field(default=Published(), description="what the paper gives for this cell, if anything")

    @model_validator(mode="before")
    @classmethod
    def schedule_stands_for_what_it_names(cls, value: Any, info: ValidationInfo) -> Any:
        """Put the parts of the schedule that the cell names in their places."""
        return filled("schedules", "schedule", value, info)
