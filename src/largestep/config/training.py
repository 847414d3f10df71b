"""What the cells of an experiment share: the algorithm, its length and its seeds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from largestep.config.scalars import (
    Arm,
    BatchSize,
    Count,
    Momentum,
    NonNegative,
    Sampling,
    Several,
    Strict,
    later,
)

# Settings that say what is looked at, and of how many runs.
NOT_OF_A_RUN = {"seeds", "arms", "snapshots", "evaluations", "seeds_per_job"}
# Settings with a default that are not part of the rule by which a gradient becomes an update.
NOT_OF_THE_UPDATE = {"sampling", "decay_after_update", "precision", "augmentation", "seeds_per_job"}


def _plain(value: Any) -> str:
    """A value as config.yaml has it, a number to six digits."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(part)}" for key, part in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


class Training(Strict):
    """What the cells of an experiment share: the algorithm, its length and its seeds."""

    seeds: Count = Field(description="number of runs of every cell; seed s is the same run under every schedule")
    arms: Annotated[list[Arm], Field(min_length=1)] = Field(
        description="what a seed varies. `order`: order of the examples and init, on the fixed data set; "
        "`data`: the data set too"
    )
    snapshots: Several = Field(description="equal intervals of training between snapshots of the parameters")
    evaluations: Several = Field(description="equal intervals of training between evaluations of the loss")
    momentum: Momentum = Field(default=0.0, description="decay of the velocity per step, as in `torch.optim.SGD`")
    weight_decay: NonNegative = Field(
        default=0.0, description="λ: the gradient gains λ θ, coupled as in `torch.optim.SGD`"
    )

    def additions(self) -> dict[str, Any]:
        """What plain SGD has not, by key: settings of the update that are given, each with what it is in plain SGD."""
        fields = {key: field for key, field in type(self).model_fields.items() if key not in NOT_OF_THE_UPDATE}
        plain = {key: field.default for key, field in fields.items() if not field.is_required()}
        return {key: value for key, value in plain.items() if getattr(self, key) != value}

    def in_words(self) -> str:
        """How a run is trained, by the keys of config.yaml; those that have their default are left out."""
        given = self.model_dump(mode="json", exclude=NOT_OF_A_RUN, exclude_defaults=True)
        return ", ".join(f"{key} {_plain(value)}" for key, value in given.items())

    @field_validator("arms")
    @classmethod
    def arms_differ(cls, arms: list[Arm]) -> list[Arm]:
        """Refuse an arm given twice."""
        if len(set(arms)) != len(arms):
            raise ValueError("an arm is listed twice")
        return arms


class ToyTraining(Training):
    """Training of a toy network, counted in steps."""

    steps: Several = Field(description="length in updates; the last one is evaluated but not taken")
    batch_size: BatchSize = Field(description="examples per step; `full`: all, gradient descent")
    loss: Literal["half_mse", "mse"] = Field(description="mean squared error, with a factor ½ or without")
    sampling: Sampling = Field(
        default="with_replacement",
        description="of the examples. `without_replacement`: inside a batch only; `reshuffled`: a new permutation "
        "every epoch; `cyclic`: one permutation, repeated. The last two are cut into batches end to end, across epochs "
        "where the batch size does not divide the examples. A full batch has nothing to sample",
    )
    decay_after_update: bool = Field(
        default=False,
        description="divide the step size after the update at which a decay falls due, as the published code for "
        "diagonal networks does, not before it",
    )
    label_noise: NonNegative = Field(
        default=0.0, description="standard deviation of the Gaussian noise added to the labels of every step"
    )
    sam_radius: NonNegative = Field(
        default=0.0,
        description="ρ of sharpness-aware minimisation: the gradient is taken at θ + ρ g/‖g‖ on the same examples",
    )


class Augmentation(Strict):
    """What is done to each training image each time it is used."""

    crop_padding: Annotated[int, Field(ge=0)] = Field(
        default=0, description="pixels of black on every side before a random crop to the old size"
    )
    flip: bool = Field(default=False, description="mirror left to right with probability ½")


class ImageTraining(Training):
    """Training of an image classifier by cross-entropy, counted in epochs."""

    epochs: Count = Field(description="length in passes over the training images")
    batch_size: Count = Field(description="images per step")
    # In no spec: which seeds share a job decides no number.
    seeds_per_job: Count = Field(
        default=1,
        exclude=True,
        description="seeds that one job trains, one after the other, counted from seed 0. 1: each has a job, so that "
        "several GPUs or cores share a cell, and a seed that fails costs that seed. More where a seed takes seconds, "
        "since a job takes three to start. Seeds that are added later train alone where `seeds` was a multiple of it; "
        "a change of it trains the cells again",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="of the arithmetic of a step, by autocast; weights and updates are float32 in both. On a CPU "
        "without bfloat16 instructions `bfloat16` is slower",
    )
    augmentation: Augmentation = Field(
        default=Augmentation(), description="random changes of the training images; none unless given"
    )
    label_noise: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0,
        description="share of the labels of every mini-batch that is drawn anew, uniformly over the classes",
    )
    sam_radius: NonNegative = Field(
        default=0.0,
        description="ρ of sharpness-aware minimisation: the gradient is taken at θ + ρ g/‖g‖ on the same images",
    )
    nesterov: bool = later(
        False,
        "Nesterov's form of the momentum, as in `torch.optim.SGD` (Sutskever et al. 2013); needs `momentum`",
    )
    weight_decay_on: Literal["all", "weights"] = later(
        "all",
        "`weights`: of tensors with more than one dimension alone; biases and what normalisation learns are spared "
        "(He et al. 2019, section 3.1); needs `weight_decay`",
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = later(
        0.0,
        "share ε of a label that is spread evenly over all classes in the loss of the mini-batches (Szegedy et al. "
        "2016, section 7); the losses of evaluations are without it",
    )

    @model_validator(mode="after")
    def settings_act(self) -> ImageTraining:
        """Refuse what changes a setting that is not there: the run would be one without it."""
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov is a form of momentum; give momentum, such as 0.9, or remove nesterov")
        if self.weight_decay_on != "all" and not self.weight_decay:
            raise ValueError("weight_decay_on spares parameters of weight_decay; give weight_decay, or remove it")
        return self
