"""The networks that `model` may name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, JsonValue, Tag, model_validator

from largestep.config.kinds import CUSTOM, kinds_of, tag_of
from largestep.config.scalars import Count, Distinct, DottedName, NonNegative, Strict


class Law(Strict):
    """How a layer's weights or biases are drawn, each times `scale`."""

    law: Literal["gaussian", "rademacher", "sphere", "fan_in_uniform"] = Field(
        description="standard normal, random signs, rows of unit norm, or torch's default U(-1, 1)/√fan-in"
    )
    scale: NonNegative = Field(default=1.0, description="factor by which the draws are multiplied")


class Layer(Strict):
    """One dense layer; ReLU follows every layer but the last."""

    units: Count = Field(description="number of outputs")
    weight: Law = Field(description="law of the initial weights")
    bias: Law | None = Field(default=None, description="law of the initial biases; null: the layer has none")


class ToyNet(Strict):
    """A toy network: kinds of data that it learns, whether it is linear in x, and whether a seed draws its init."""

    learns: ClassVar[frozenset[str]]
    linear: ClassVar[bool]
    drawn: ClassVar[bool]
    if TYPE_CHECKING:
        kind: str

    def number_of_blocks(self) -> int | None:
        """Blocks whose sparsity is measured; None where there are none, or only the network itself knows."""
        return None


class DiagonalNet(ToyNet):
    """A diagonal linear network, h(x) = ⟨u ⊙ v, x⟩, started at constant u and v."""

    learns, linear, drawn = frozenset({"sparse_regression", "published_regression"}), True, False
    kind: Literal["diagonal"] = Field(description="a diagonal linear network")
    u: float = Field(description="initial value of every coordinate of u")
    v: float = Field(description="initial value of every coordinate of v")

    @model_validator(mode="after")
    def leaves_the_origin(self) -> DiagonalNet:
        """Refuse the saddle at 0, where every gradient is 0 and no run moves."""
        if self.u == self.v == 0:
            raise ValueError("u and v are both 0, where every gradient is 0 and no run moves; give u another value")
        return self


def _diagonal(value: Any) -> Any:
    """Refuse another kind by its name; otherwise its settings are refused one by one."""
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if isinstance(kind, str) and kind != "diagonal":
        raise ValueError(f"must be a diagonal network: its predictor and its start are known; {kind} has neither")
    return value


# For studies that need to know the parameters of a predictor, or one start of all paths.
OnlyDiagonal = Annotated[DiagonalNet, BeforeValidator(_diagonal)]


class DenseNet(ToyNet):
    """A dense ReLU network with one output, trained on the squared loss."""

    learns, linear, drawn = frozenset({"points", "teacher_student"}), False, True
    kind: Literal["dense"] = Field(description="a dense ReLU network")
    layers: Annotated[list[Layer], Field(min_length=2)] = Field(
        description="its layers, from the input on; the last has one unit"
    )

    def number_of_blocks(self) -> int:
        """The hidden layers."""
        return len(self.layers) - 1

    @model_validator(mode="after")
    def one_output(self) -> DenseNet:
        """Refuse a network whose output is not a number."""
        if self.layers[-1].units != 1:
            raise ValueError(f"the last layer must have 1 unit, not {self.layers[-1].units}")
        return self

    @model_validator(mode="after")
    def weights_learn(self) -> DenseNet:
        """Refuse two layers of zeros without biases beside them: the gradient of every weight is 0, for ever."""
        zero = [layer for layer in self.layers if layer.weight.scale == 0]
        biased = any(layer.bias is not None and layer.bias.scale > 0 for layer in self.layers)
        if len(zero) > 1 and not biased:
            raise ValueError("two layers have weight.scale 0, so that the gradient of every weight is 0; raise one")
        return self


class FiveBlocks(Strict):
    """An image classifier whose sparsity is measured in five blocks."""

    def number_of_blocks(self) -> int:
        """Stages, and what lies between or behind them."""
        return 5


Normalisation = Literal["batch", "group", "none"]
NORMALISATION = "of the activations: over the mini-batch, over groups of two channels, or not at all"


class ResNet(FiveBlocks):
    """A ResNet in its CIFAR form: 3×3 stem, no max-pool. Its blocks: the four stages and the pooled features."""

    kind: Literal["resnet18", "resnet34"] = Field(description="number of layers")
    width: Count = Field(description="channels of the first stage, doubled by each further one; 64 as published")
    normalisation: Normalisation = Field(default="batch", description=NORMALISATION)

    def fewest_positions(self, rows: int, columns: int) -> int:
        """Pixels of the last stage, which three strides of 2 leave."""
        return math.ceil(rows / 8) * math.ceil(columns / 8)


class DenseNetBC(FiveBlocks):
    """DenseNet with bottlenecks and compression, three dense blocks (Huang et al. 2017).

    Its blocks: the first BN-ReLU, those of both transitions, the last, and the pooled features.
    """

    kind: Literal["densenet"] = Field(description="DenseNet-BC")
    depth: Annotated[int, Field(ge=10)] = Field(description="number of layers, 6 k + 4 for a whole k; 100 as published")
    growth: Count = Field(description="channels that every layer of a dense block adds; 12 as published")

    def fewest_positions(self, rows: int, columns: int) -> int:
        """Pixels of the last dense block, which two transitions leave."""
        return (rows // 4) * (columns // 4)

    @model_validator(mode="after")
    def depth_divides(self) -> DenseNetBC:
        """Refuse a depth that three blocks of two-layer bottlenecks cannot share."""
        if (self.depth - 4) % 6:
            raise ValueError(f"depth {self.depth} is not 6 k + 4 for a whole k; take 100, or {self.depth // 6 * 6 + 4}")
        return self


class VGG(FiveBlocks):
    """A VGG network with a mean over positions before its linear head. Its blocks: the five stages."""

    kind: Literal["vgg11", "vgg16"] = Field(description="number of layers")
    width: Count = Field(description="channels of the first stage, doubled up to eight times as many; 64 as published")
    normalisation: Normalisation = Field(default="batch", description=NORMALISATION)

    def fewest_positions(self, rows: int, columns: int) -> int:
        """Pixels of the last stage: four times rows and columns are halved, as long as there are two of either."""
        for _ in range(4):
            rows, columns = (rows // 2, columns // 2) if min(rows, columns) > 1 else (rows, columns)
        return rows * columns


class MLP(Strict):
    """Dense layers with ReLU on flattened images. Its blocks: the hidden layers."""

    kind: Literal["mlp"] = Field(description="a multilayer perceptron")
    hidden: Annotated[list[Count], Field(min_length=1)] = Field(description="units of every hidden layer")

    def number_of_blocks(self) -> int:
        """The hidden layers."""
        return len(self.hidden)


class CustomModel(Strict):
    """Your own `torch.nn.Module`."""

    kind: DottedName = Field(description="where its class is: `my_module.MyNet`")
    options: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="keyword arguments of the class, beside those of `channels`, `classes` and `size` that it takes",
    )
    blocks: Annotated[list[str], Distinct] = Field(
        default_factory=list,
        description="submodules whose outputs are measured, from the input on; "
        "empty: its method `blocks(images)` returns the outputs",
    )

    def number_of_blocks(self) -> int | None:
        """Those named; None where only the network knows."""
        return len(self.blocks) or None


def _tag(value: Any) -> str:
    return tag_of(value, MODEL_KINDS)


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
MODEL_KINDS = kinds_of(Model)
