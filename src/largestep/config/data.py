"""The data sets that `data` of an experiment may name, and where those of images come from."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Discriminator, Field, JsonValue, Tag, field_validator, model_validator

from largestep.config.kinds import CUSTOM, kinds_of, tag_of
from largestep.config.models import Layer
from largestep.config.scalars import Count, DottedName, Seed, Several, Strict, later


class SparseRegression(Strict):
    """y = ⟨x, θ*⟩ with x standard normal and θ* supported on its first coordinates."""

    kind: Literal["sparse_regression"] = Field(description="sparse linear regression without noise")
    examples: Count = Field(description="size n of the training set")
    dimension: Count = Field(description="number d of coordinates of x")
    support: Count = Field(description="number r of non-zero coordinates of θ*; at most `dimension`")
    test_examples: Count = Field(default=1000, description="size of the test set")
    seed: Seed = Field(description="of NumPy's legacy generator: draws θ*, the training and the test set")

    @model_validator(mode="after")
    def support_fits(self) -> SparseRegression:
        """Refuse a support larger than the dimension."""
        if self.support > self.dimension:
            raise ValueError(f"support {self.support} exceeds dimension {self.dimension}")
        return self


class PublishedRegression(SparseRegression):
    """The same, drawn as the published code drew it: one stream for training set, test set and θ*."""

    kind: Literal["published_regression"] = Field(  # type: ignore[assignment]
        description="sparse linear regression as the published code drew it; in the arm `data` seed s has the stream "
        "of `seed` + s + 1"
    )


class Points(Strict):
    """A fixed one-dimensional regression data set; in the arm `data` a seed puts its labels in another order."""

    kind: Literal["points"] = Field(description="points on a line, written out")
    inputs: Annotated[list[float], Field(min_length=2)] = Field(description="x of every training example")
    labels: Annotated[list[float], Field(min_length=2)] = Field(description="y of every training example")
    rank_inputs: Count = Field(
        default=300, description="number of inputs, uniform over the range of `inputs`, on which the Jacobian is taken"
    )
    seed: Seed = Field(
        default=0, description="draws the inputs of the Jacobian and, in the arm `data`, the orders of labels"
    )

    @model_validator(mode="after")
    def same_length(self) -> Points:
        """Refuse inputs without labels."""
        if len(self.inputs) != len(self.labels):
            raise ValueError(f"{len(self.inputs)} inputs but {len(self.labels)} labels")
        return self


class TeacherStudent(Strict):
    """Unit-norm Gaussian inputs labelled by a random ReLU teacher."""

    kind: Literal["teacher_student"] = Field(description="regression on the outputs of a teacher network")
    examples: Count = Field(description="size of the training set")
    dimension: Count = Field(description="number of coordinates of an input")
    test_examples: Count = Field(default=1000, description="size of the test set")
    teacher: Annotated[list[Layer], Field(min_length=2)] = Field(description="layers of the teacher")
    seed: Annotated[int, Field(ge=0, lt=2**22)] = Field(
        description="draws teacher, training and test set; a thousand times it seeds NumPy"
    )


class Size(NamedTuple):
    """Of a published data set: training and test images, and their rows, which are as many as their columns."""

    examples: int
    test_examples: int
    side: int


# Of digits, which have no published split, those of ours.
IMAGE_SETS = {
    "digits": Size(1297, 500, 8),
    "mnist": Size(60_000, 10_000, 28),
    "fashion_mnist": Size(60_000, 10_000, 28),
    "svhn": Size(73_257, 26_032, 32),
    "cifar10": Size(50_000, 10_000, 32),
    "cifar100": Size(50_000, 10_000, 32),
    "tiny_imagenet": Size(100_000, 10_000, 64),
}
if TYPE_CHECKING:
    PublishedKind = str
else:
    PublishedKind = Literal[tuple(IMAGE_SETS)]


class Images(Strict):
    """Image data: how many of its training and test images, drawn at random, an experiment takes."""

    examples: Several | None = Field(default=None, description="training images, drawn at random; null: all")
    test_examples: Count | None = Field(default=None, description="test images, drawn at random; null: all")
    seed: Seed = Field(default=0, description="draws these images")
    normalise: bool = later(
        False,
        "subtract from each channel its mean over the training images taken, and divide by its standard deviation "
        "there (LeCun et al. 1998, section 4.3), after augmentation; otherwise inputs lie in [0, 1]",
    )

    def image_size(self) -> tuple[int, int] | None:
        """Rows and columns; None where only the data set itself knows."""
        return None


class PublishedImages(Images):
    """A published data set, prepared from its archives or, for digits, from scikit-learn."""

    kind: PublishedKind = Field(description="which data set")

    def image_size(self) -> tuple[int, int]:
        """Rows and columns."""
        return IMAGE_SETS[self.kind].side, IMAGE_SETS[self.kind].side

    @model_validator(mode="after")
    def enough_images(self) -> PublishedImages:
        """Refuse more images than the data set has."""
        for key in ("examples", "test_examples"):
            asked, there = getattr(self, key), getattr(IMAGE_SETS[self.kind], key)
            if asked is not None and asked > there:
                raise ValueError(f"{key} {asked} exceeds the {there} images that {self.kind} has; lower it")
        return self


Level = Annotated[int, Field(ge=0, le=255)]


class ImageFolder(Images):
    """Your own images, `train/<class>/` and `test/<class>/`; their checksum says which, wherever they lie."""

    kind: Literal["folder"] = Field(description="a folder of images")
    folder: Annotated[str, Field(min_length=1)] = Field(description="its path, absolute or under `data.root`")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="of its content, checked by the job; `python -m largestep.images --checksum FOLDER` prints it"
    )
    size: Annotated[list[Count], Field(min_length=2, max_length=2)] = Field(
        description="rows and columns, in pixels, to which the images are resized"
    )
    channels: Literal[1, 3] = Field(default=3, description="grey or colour")
    background: Annotated[list[Level], Field(min_length=3, max_length=3)] | None = Field(
        default=None,
        description="red, green and blue, 0 to 255, under transparent pixels; null: an image with such is refused",
    )

    def image_size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.size[0], self.size[1]


class CustomImages(Images):
    """Your own function.

    It returns `train_images`, `train_labels`, `test_images` and `test_labels`: uint8 of shape (n, channel, row,
    column) and integers from 0.
    """

    kind: DottedName = Field(description="where the function is: `my_module.my_function`")
    options: dict[str, JsonValue] = Field(default_factory=dict, description="its keyword arguments")


def _tag(value: Any) -> str:
    return tag_of(value, DATA_KINDS)


Data = Annotated[
    Annotated[SparseRegression, Tag("sparse_regression")]
    | Annotated[PublishedRegression, Tag("published_regression")]
    | Annotated[Points, Tag("points")]
    | Annotated[TeacherStudent, Tag("teacher_student")]
    | Annotated[PublishedImages, Tag("digits")]
    | Annotated[ImageFolder, Tag("folder")]
    | Annotated[CustomImages, Tag(CUSTOM)],
    Discriminator(_tag),
]
DATA_KINDS = kinds_of(Data)


class DataSource(Strict):
    """Where image data sets come from; checksums decide what they are, so neither key changes a result."""

    root: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="folder that holds the archives, in it, in `<kind>/` or one or two levels deeper; `~` and `$NAME` "
        "are as in a shell; what is missing is downloaded to `<kind>/`; null: `results/downloads`",
    )

    @field_validator("root")
    @classmethod
    def expanded(cls, root: str | None) -> str | None:
        """What a shell makes of ~ and $NAME. Refuse those that it does not know, which would be folders so named."""
        path = root and os.path.expanduser(os.path.expandvars(root))
        if path and (path.startswith("~") or re.search(r"\$(\w|\{)", path)):
            raise ValueError("names a variable or a home that is not there; set it, or write the folder out")
        return path

    mirror: Annotated[str, Field(pattern=r"^https?://[^\s'\"$;]+$")] | None = Field(
        default=None, description="a server that holds them as `<kind>/<file>`; null: the published addresses"
    )
