"""C6: settings of the weak error of the SDE's discretisation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from largestep.config.data import SparseRegression
from largestep.config.models import OnlyDiagonal
from largestep.config.scalars import Count, Positive, Several
from largestep.config.studies.base import StudyBase


class SdeConvergence(StudyBase):
    """C6: the weak error of Euler and Maruyama's method for the paper's SDE, from a time step to half of it."""

    kind: Literal["sde_convergence"] = Field(description="weak error of Euler and Maruyama's method")
    data: SparseRegression = Field(description="the regression problem")
    model: OnlyDiagonal = Field(description="the network")
    step_size: Positive = Field(description="η of the SGD that the SDE describes")
    horizon: Count = Field(description="length of the paths in steps of SGD")
    substeps: Count = Field(description="steps to one of SGD at the coarsest level")
    levels: Annotated[int, Field(ge=3)] = Field(description="number of time steps, each half the one before")
    seeds: Several = Field(description="groups of paths, over which the error is estimated")
    paths: Count = Field(description="paths in a group")
