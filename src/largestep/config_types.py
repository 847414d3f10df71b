"""What every part of the configuration is built from: scalar types, data sets and models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, JsonValue, Tag, model_validator

Scale = Literal["laptop", "workstation", "paper"]
SCALES: tuple[Scale, ...] = ("laptop", "workstation", "paper")
Arm = Literal["order", "data"]

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
# The name of a user's own function or class: at least a module and what is in it.
DottedName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$")]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
# What NumPy's legacy generator takes.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
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
    seed: Seed

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
    seed: Seed = 0

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
    seed: Annotated[int, Field(ge=0, lt=2**22, description="a thousand times it seeds NumPy")]


# Training and test images of the published data sets; of digits, which have no published split, those of ours.
IMAGE_SETS = {
    "digits": (1297, 500),
    "mnist": (60_000, 10_000),
    "fashion_mnist": (60_000, 10_000),
    "svhn": (73_257, 26_032),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "tiny_imagenet": (100_000, 10_000),
}


class Images(Strict):
    """Image data: how many of its training and test images, drawn at random, an experiment takes; all unless given."""

    examples: Annotated[int, Field(ge=2)] | None = None
    test_examples: Count | None = None
    seed: Seed = 0


class PublishedImages(Images):
    """A published data set, prepared from its archives or, for digits, from scikit-learn."""

    kind: Literal["digits", "mnist", "fashion_mnist", "svhn", "cifar10", "cifar100", "tiny_imagenet"]

    @model_validator(mode="after")
    def enough_images(self) -> PublishedImages:
        """Refuse more images than the data set has."""
        for key, there in zip(("examples", "test_examples"), IMAGE_SETS[self.kind], strict=True):
            asked = getattr(self, key)
            if asked is not None and asked > there:
                raise ValueError(f"{key} {asked} exceeds the {there} images that {self.kind} has; lower it")
        return self


class ImageFolder(Images):
    """A folder of images, `train/<class>/` and `test/<class>/`; its checksum says which, wherever it lies."""

    kind: Literal["folder"]
    folder: Annotated[str, Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[list[Count], Field(min_length=2, max_length=2)]
    channels: Literal[1, 3] = 3


class CustomImages(Images):
    """A user's own function that returns the images."""

    kind: DottedName
    options: dict[str, JsonValue] = Field(default_factory=dict)


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


Normalisation = Literal["batch", "group", "none"]


class ResNet(Strict):
    """A ResNet in its CIFAR form (3x3 stem, no max-pool)."""

    kind: Literal["resnet18", "resnet34"]
    width: Count
    normalisation: Normalisation = "batch"


class DenseNetBC(Strict):
    """DenseNet with bottlenecks and compression, three dense blocks (Huang et al. 2017)."""

    kind: Literal["densenet"]
    depth: Annotated[int, Field(ge=10)]
    growth: Count

    @model_validator(mode="after")
    def depth_divides(self) -> DenseNetBC:
        """Refuse a depth that three blocks of two-layer bottlenecks cannot share."""
        if (self.depth - 4) % 6:
            raise ValueError(f"depth {self.depth} is not 6 k + 4 for a whole k; take 100, or {self.depth // 6 * 6 + 4}")
        return self


class VGG(Strict):
    """A VGG network with a mean over positions before its linear head."""

    kind: Literal["vgg11", "vgg16"]
    width: Count
    normalisation: Normalisation = "batch"


class MLP(Strict):
    """Dense layers with ReLU on flattened images."""

    kind: Literal["mlp"]
    hidden: Annotated[list[Count], Field(min_length=1)]


class CustomModel(Strict):
    """A user's own network; `blocks` names the submodules whose outputs are measured."""

    kind: DottedName
    options: dict[str, JsonValue] = Field(default_factory=dict)
    blocks: list[str] = Field(default_factory=list)


DATA_KINDS = ("sparse_regression", "points", "teacher_student", *IMAGE_SETS, "folder")
MODEL_KINDS = ("diagonal", "dense", "resnet18", "resnet34", "densenet", "vgg11", "vgg16", "mlp")
CUSTOM = "custom"


def _tag(value: Any) -> str:
    """Which type a mapping with `kind` is of: a kind stands for itself, a dotted name for a user's own."""
    kind = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
    if isinstance(kind, str) and "." in kind:
        return CUSTOM
    of_several = dict.fromkeys(IMAGE_SETS, "published") | {"resnet34": "resnet18", "vgg16": "vgg11"}
    return of_several.get(str(kind), str(kind))


Data = Annotated[
    Annotated[SparseRegression, Tag("sparse_regression")]
    | Annotated[Points, Tag("points")]
    | Annotated[TeacherStudent, Tag("teacher_student")]
    | Annotated[PublishedImages, Tag("published")]
    | Annotated[ImageFolder, Tag("folder")]
    | Annotated[CustomImages, Tag(CUSTOM)],
    Discriminator(_tag),
]
Model = Annotated[
    Annotated[DiagonalNet, Tag("diagonal")]
    | Annotated[DenseNet, Tag("dense")]
    | Annotated[ResNet, Tag("resnet18")]
    | Annotated[DenseNetBC, Tag("densenet")]
    | Annotated[VGG, Tag("vgg11")]
    | Annotated[MLP, Tag("mlp")]
    | Annotated[CustomModel, Tag(CUSTOM)],
    Discriminator(_tag),
]
