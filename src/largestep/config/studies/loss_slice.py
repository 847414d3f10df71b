"""Settings of a slice of the loss."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from largestep.config.data import SparseRegression
from largestep.config.models import OnlyDiagonal
from largestep.config.scalars import Count, Fraction, Positive, Several, Strict
from largestep.config.schedules import Divisor
from largestep.config.studies.base import StudyBase


class SliceStepSizes(Strict):
    """Step sizes of the three paths; those of gradient descent and SGD are divided later."""

    flow: Positive = Field(description="of gradient flow: the time step of its Euler method")
    gd: Positive = Field(description="of gradient descent, until the decay")
    sgd: Positive = Field(description="of SGD, until the decay")


class LossSlice(StudyBase):
    """The plane through the start, the truth and the end of gradient flow (Fig. 3, Fig. 8)."""

    kind: Literal["loss_slice"] = Field(description="a slice of the loss, and an animation of the paths on it")
    data: SparseRegression = Field(description="the regression problem")
    model: OnlyDiagonal = Field(description="the network")
    steps: Several = Field(description="length of the paths in updates")
    step_sizes: SliceStepSizes = Field(description="step sizes of the paths")
    decay_at: Fraction = Field(description="fraction of training at which the large steps end")
    divide_by: Divisor = Field(description="divisor of the step sizes of gradient descent and SGD there")
    seeds: Count = Field(description="runs of SGD")
    evaluations: Several = Field(description="equal intervals between recorded updates of the paths")
    resolution: Several = Field(description="points of the plane along either axis")
