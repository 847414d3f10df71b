"""What every part of the configuration is built from: scalar types, data sets and models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Scale = Literal["laptop", "workstation", "paper"]
SCALES: tuple[Scale, ...] = ("laptop", "workstation", "paper")
Arm = Literal["order", "data"]

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Sampling = Literal["with_replacement", "without_replacement", "reshuffled", "cyclic"]


def _number_or_full(value: Any) -> Any:
    """Refuse anything else with one message; pydantic gives one for each alternative."""
    if value != "full" and (type(value) is not int or value < 1):
        raise ValueError("must be a number of examples, at least 1, or full")
    return value


BatchSize = Annotated[Count | Literal["full"], BeforeValidator(_number_or_full)]


class Strict(BaseModel):
    """No unknown keys, no silent conversions (the text "1e-4" is not a number), no NaN and no infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Law(Strict):
    """How a layer's weights or biases are drawn."""

    law: Literal["gaussian", "rademacher", "sphere", "fan_in_uniform"]
    scale: NonNegative = 1.0


class Layer(Strict):
    """One dense layer; ReLU follows every layer but the last."""

    units: Count
    weight: Law
    bias: Law | None = None


class SparseRegression(Strict):
    """y = <x, theta*> with x standard normal and theta* supported on its first coordinates."""

    kind: Literal["sparse_regression"]
    examples: Count
    dimension: Count
    support: Count
    test_examples: Count = 1000
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def support_fits(self) -> SparseRegression:
        """Refuse a support larger than the dimension."""
        if self.support > self.dimension:
            raise ValueError(f"support {self.support} exceeds dimension {self.dimension}")
        return self


class Points(Strict):
    """A fixed one-dimensional regression data set."""

    kind: Literal["points"]
    inputs: Annotated[list[float], Field(min_length=2)]
    labels: Annotated[list[float], Field(min_length=2)]
    rank_inputs: Count = 300
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def same_length(self) -> Points:
        """Refuse inputs without labels."""
        if len(self.inputs) != len(self.labels):
            raise ValueError(f"{len(self.inputs)} inputs but {len(self.labels)} labels")
        return self


class TeacherStudent(Strict):
    """Unit-norm Gaussian inputs labelled by a random ReLU teacher."""

    kind: Literal["teacher_student"]
    examples: Count
    dimension: Count
    test_examples: Count = 1000
    teacher: Annotated[list[Layer], Field(min_length=2)]
    seed: Annotated[int, Field(ge=0)]


class Digits(Strict):
    """scikit-learn's 8x8 handwritten digits, split at random into training and test images."""

    kind: Literal["digits"]
    examples: Annotated[int, Field(ge=2, le=1796)]
    test_examples: Annotated[int, Field(ge=1, le=1796)]
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def enough_images(self) -> Digits:
        """Refuse a split larger than the data set."""
        if self.examples + self.test_examples > 1797:
            raise ValueError(
                f"examples + test_examples = {self.examples + self.test_examples}, but there are 1797 images"
            )
        return self


class DiagonalNet(Strict):
    """h(x) = <u * v, x>, started at constant u and v."""

    kind: Literal["diagonal"]
    u: float
    v: float


class DenseNet(Strict):
    """A dense ReLU network with one output."""

    kind: Literal["dense"]
    layers: Annotated[list[Layer], Field(min_length=2)]

    @model_validator(mode="after")
    def one_output(self) -> DenseNet:
        """Refuse a network whose output is not a number."""
        if self.layers[-1].units != 1:
            raise ValueError(f"the last layer must have 1 unit, not {self.layers[-1].units}")
        return self


class ResNet(Strict):
    """ResNet-18 in its CIFAR form (3x3 stem, no max-pool)."""

    kind: Literal["resnet18"]
    width: Count
    normalisation: Literal["batch", "group", "none"] = "batch"
