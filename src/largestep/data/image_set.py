"""The form in which image data sets lie on disk: one safetensors file, mapped into memory when read.

A data set is prepared once (`largestep.images`) and read by every experiment that uses it, each of which
takes its own part. The file says what it was made from and carries a checksum, which every reader verifies.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from largestep import __version__
from largestep.keys import canonical
from largestep.store import RefusedError, StaleError, StoreError, check_versions, replacing

if TYPE_CHECKING:
    from largestep.config.data import Images

# Labels first: they need the alignment of their eight bytes, images need none.
TENSORS = ("train_labels", "test_labels", "train_images", "test_images")
DTYPES = {torch.uint8: "U8", torch.int64: "I64"}
LIBRARIES = ("numpy", "torch", "torchvision", "pillow")
# What differs from run to run, and the seal itself; all else is sealed.
UNSEALED = ("created", "content_sha256")
WHITE = 255
# Child seeds of `data.seed`: the draws of the two parts do not depend on each other.
TRAIN, TEST = 0, 1


@dataclass(frozen=True)
class ImageSet:
    """Training and test images with their labels.

    train_images, test_images: (n, channel, row, column) uint8 levels from 0 to `white_level`, mapped from the
    file where they were read from disk; train_labels, test_labels: (n,) int64 from 0 to `classes` - 1.
    moments: mean and standard deviation of every channel's inputs, (2, channel, 1, 1) float32, by which inputs are
    normalised; None: they are not.
    notes: lines on what was left out and what is odd, where somebody prepares images of their own.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    white_level: int
    classes: int
    notes: tuple[str, ...] = ()
    moments: Tensor | None = None

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colours."""
        return self.train_images.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of an image."""
        return self.train_images.shape[2], self.train_images.shape[3]


def from_arrays(
    train: tuple[NDArray[Any], NDArray[Any]],
    test: tuple[NDArray[Any], NDArray[Any]],
    *,
    classes: int,
    white_level: int = WHITE,
) -> ImageSet:
    """An image set of NumPy arrays: for each part the images, as uint8, and the labels, as any integers."""
    (train_images, train_labels), (test_images, test_labels) = train, test
    return ImageSet(
        _tensor(train_images, np.uint8),
        _tensor(train_labels, np.int64),
        _tensor(test_images, np.uint8),
        _tensor(test_labels, np.int64),
        white_level,
        classes,
    )


def fault(images: ImageSet) -> str | None:
    """What is wrong with an image set, in a few words; None when it is sound."""
    for part, pixels, labels in (
        ("train", images.train_images, images.train_labels),
        ("test", images.test_images, images.test_labels),
    ):
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or 0 in pixels.shape:
            return f"{part}_images must be uint8 of shape (n, channel, row, column), not {_kind(pixels)}"
        if labels.dtype != torch.int64 or labels.shape != pixels.shape[:1]:
            return f"{part}_labels must be int64, one for each of {len(pixels)} images, not {_kind(labels)}"
        if int(labels.min()) < 0 or int(labels.max()) >= images.classes:
            return (
                f"{part}_labels must lie from 0 to {images.classes - 1}, "
                f"but they range from {int(labels.min())} to {int(labels.max())}"
            )
        if int(pixels.max()) > images.white_level:
            return f"{part}_images has a level of {int(pixels.max())}, above white ({images.white_level})"
    if images.train_images.shape[1:] != images.test_images.shape[1:]:
        return f"train_images is {_kind(images.train_images)}, but test_images is {_kind(images.test_images)}"
    if int(images.train_labels.min()) == int(images.train_labels.max()):
        return f"all training images are of class {int(images.train_labels[0])}; a classifier needs two at least"
    return None


def write(path: Path, images: ImageSet, *, spec: str, code: str) -> None:
    """Write an image set in one move: a reader sees the whole of it or nothing.

    spec, code: what it was made from, as for `largestep.store.write`. Written here and not by safetensors, which
    keeps no order of the metadata and hides the cause of a failed write.
    Raises StoreError when the images are unsound or the file cannot be written.
    """
    if wrong := fault(images):
        raise StoreError(f"{path}: {wrong}")
    tensors = {name: getattr(images, name).contiguous() for name in TENSORS}
    metadata = {
        "spec": spec,
        "code_fingerprint": code,
        "white_level": str(images.white_level),
        "classes": str(images.classes),
        # A name that is no text, as file systems allow, would be no JSON.
        "notes": "\n".join(images.notes).encode("utf-8", "backslashreplace").decode(),
        "source": f"largestep {__version__}, a reproduction of arXiv:2210.05337",
        **{f"version_{name}": version(name) for name in LIBRARIES},
    }
    metadata |= {
        "content_sha256": _digest(tensors, metadata),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.nbytes
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as beside, beside.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(_bytes(tensor))


def read(path: Path, *, spec: str | None = None, code: str | None = None) -> ImageSet:
    """Map an image set into memory and verify its checksum; pages are read from disk when they are used.

    spec, code: refuse a file made from anything else; None compares nothing.
    Raises StoreError for a file that is missing, damaged, foreign or stale, or that was made with another version of a
    library that computes.
    """
    metadata, tensors = _sound(path)
    if spec is not None and metadata["spec"] != spec:
        raise RefusedError(path, "is stale: it was made from other settings")
    if code is not None and metadata["code_fingerprint"] != code:
        raise StaleError(path, "is stale: it was made from other code")
    check_versions(path, metadata)
    train, test = ((tensors[f"{part}_images"], tensors[f"{part}_labels"]) for part in ("train", "test"))
    return ImageSet(*train, *test, int(metadata["white_level"]), int(metadata["classes"]))


def attributes(path: Path) -> dict[str, str]:
    """What an image set says of itself, wherever it comes from, once its content matches its checksum. As `read`."""
    return _sound(path)[0]


def _sound(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a file whose content matches its checksum."""
    if not path.is_file():
        raise StoreError(f"{path}: there is no such file; run the workflow again")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    # A damaged header can make the library fail in any way.
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        raise RefusedError(path, "is not a readable image data set", one_line(error)) from error
    if "content_sha256" not in metadata or set(tensors) != set(TENSORS):
        raise RefusedError(path, "was not written by largestep")
    if metadata["content_sha256"] != _digest(tensors, metadata):
        raise RefusedError(path, "its content does not match its checksum")
    return metadata, tensors


def part(images: ImageSet, settings: Images) -> ImageSet:
    """What an experiment takes of a data set: a random subset of either part, copied, or all of it, in order.

    Raises StoreError, without a path, when more images are asked for than there are, or a channel has one level.
    """
    key, count, seed = "data.examples", settings.examples, settings.seed
    train = _subset(images.train_images, images.train_labels, count, [seed, TRAIN], f"{key} {count}", "training")
    key, count = "data.test_examples", settings.test_examples
    test = _subset(images.test_images, images.test_labels, count, [seed, TEST], f"{key} {count}", "test")
    taken = ImageSet(*train, *test, white_level=images.white_level, classes=images.classes)
    return dataclasses.replace(taken, moments=_moments(taken)) if settings.normalise else taken


def content(images: ImageSet) -> str:
    """sha256 over the images and labels that an experiment takes."""
    seal = sha256()
    for name in TENSORS:
        tensor = getattr(images, name)
        seal.update(f"{name}{tuple(tensor.shape)}".encode())
        seal.update(tensor.contiguous().numpy())
    return seal.hexdigest()


def one_line(error: object) -> str:
    """What an exception says, as one line; its type when it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def _subset(
    images: Tensor, labels: Tensor, count: int | None, stream: list[int], asked: str, what: str
) -> tuple[Tensor, Tensor]:
    if count is None:
        return images, labels
    if count > len(images):
        raise StoreError(f"{asked} exceeds the {len(images)} {what} images of this data set; lower it")
    chosen = torch.from_numpy(np.random.default_rng(stream).permutation(len(images))[:count])
    return images[chosen], labels[chosen]


def _moments(images: ImageSet) -> Tensor:
    """Mean and standard deviation of every channel's training inputs, (2, channel, 1, 1); from exact sums of levels."""
    moments = []
    for channel in range(images.channels):
        counts = torch.bincount(images.train_images[:, channel].flatten(), minlength=images.white_level + 1).numpy()
        levels, total = np.arange(len(counts)) / images.white_level, counts.sum()
        mean = np.sum(counts * levels) / total
        moments.append((mean, np.sqrt(np.sum(counts * (levels - mean) ** 2) / total)))
        if np.count_nonzero(counts) == 1:
            raise StoreError(
                f"data.normalise: channel {channel} (from 0 on) of the training images has one level throughout, and "
                "no deviation to divide by; remove normalise"
            )
    return torch.tensor(moments, dtype=torch.float32).T.reshape(2, -1, 1, 1)


def _tensor(values: NDArray[Any], dtype: type[np.generic]) -> Tensor:
    """Shares the memory of the array where torch can."""
    return torch.from_numpy(np.require(values, dtype, ["C", "W"]))


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """sha256 over the metadata, names, types, shapes and bytes."""
    sealed = {key: text for key, text in metadata.items() if key not in UNSEALED}
    shapes = {name: [str(tensors[name].dtype), *tensors[name].shape] for name in TENSORS}
    seal = sha256(canonical([sealed, shapes]).encode())
    for name in TENSORS:
        seal.update(_bytes(tensors[name]))
    return seal.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.flatten().view(torch.uint8).numpy().data


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
