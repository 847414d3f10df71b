"""C15, C17: settings of the curvatures along runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from largestep.config.scalars import Arm, Count, Name, Positive, Several, Strict
from largestep.config.studies.base import REPLICATES, StudyBase

# Blocks in the large-step phase, over half of which the trend of the loss is taken.
FEWEST_BLOCKS = 6


class MeasuredRun(Strict):
    """A run along which the sharpness is measured: a cell of the experiment, or full batches at a constant step."""

    experiment: Name = Field(description="experiment whose data, toy network and training are taken over")
    arm: Arm = Field(description="what a seed varies, as in `training.arms`")
    cell: Name | None = Field(default=None, description="cell whose schedule is run; in place of `step_over_sharpness`")
    step_over_sharpness: Positive | None = Field(
        default=None,
        description="step size times the sharpness at the start of each seed, for full batches at a constant step; "
        "gradient descent is stable on a quadratic below 2",
    )
    steps: Several | None = Field(
        default=None,
        description="length in updates; given with `step_over_sharpness`, otherwise that of the experiment",
    )
    evaluate_every: Count = Field(description="updates between evaluations of the loss")

    @model_validator(mode="after")
    def one_schedule(self) -> MeasuredRun:
        """Refuse two schedules, none, and steps that do not go with the schedule."""
        if (self.cell is None) == (self.step_over_sharpness is None):
            raise ValueError("give either cell or step_over_sharpness")
        if (self.step_over_sharpness is None) != (self.steps is None):
            raise ValueError("steps goes with step_over_sharpness; a cell has those of its experiment")
        return self


class Sharpness(StudyBase):
    """C15, C17: loss and extreme curvatures along SGD, gradient descent at its edge of stability, and a catapult."""

    kind: Literal["sharpness"] = Field(description="loss and extreme curvatures along training")
    seeds: Count = Field(description="repetitions of every run")
    blocks: Several = Field(description="stretches of training that the curves of the loss show")
    hessians: Annotated[int, Field(ge=6)] = Field(description="points along a run at which curvatures are measured")
    runs: Annotated[dict[Literal["sgd", "gd", "catapult"], MeasuredRun], Field(min_length=1)] = Field(
        description="SGD, gradient descent at its edge of stability, a catapult: any of them"
    )

    def replicates(self) -> dict[str, str]:
        """What a seed varies in the arm of each run."""
        return {name: REPLICATES[run.arm] for name, run in self.runs.items()}

    def uses(self) -> dict[str, list[str]]:
        """Every experiment named, with the cells that give schedules."""
        cells: dict[str, list[str]] = {}
        for run in self.runs.values():
            cells.setdefault(run.experiment, []).extend([run.cell] if run.cell else [])
        return cells

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse updates to which 2/sharpness does not apply, batches that do not suit, and too few evaluations."""
        for name, run in self.runs.items():
            training = experiments[run.experiment].training
            for key in training.additions():
                raise ValueError(f"runs.{name}: {run.experiment} has {key}, but 2/sharpness is the edge of plain steps")
            if name == "sgd" and (run.cell is None or training.batch_size == "full"):
                raise ValueError(f"runs.{name}: needs a cell of an experiment whose batches are drawn")
            if name != "sgd" and run.arm == "order" and not experiments[run.experiment].model.drawn:
                raise ValueError(f"runs.{name}.arm: full-batch runs of a diagonal network differ only in their data")
            evaluations = -(-(run.steps or training.steps) // run.evaluate_every)
            if evaluations < max(self.blocks, self.hessians):
                raise ValueError(f"runs.{name}: {evaluations} evaluations are fewer than blocks or hessians")
            decays = experiments[run.experiment].cells[run.cell].decays if run.cell else []
            if self.blocks * (decays[0].at if decays else 1.0) < FEWEST_BLOCKS:
                raise ValueError(
                    f"blocks: {self.blocks} are too few: runs.{name} needs {FEWEST_BLOCKS} until its decay"
                )
