"""Image data sets from a function of one's own, named in config.yaml by its dotted name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from largestep.data.image_set import WHITE, ImageSet, fault, from_arrays
from largestep.data.oddities import with_notes
from largestep.own_code import contained, imported, told
from largestep.store import StoreError

if TYPE_CHECKING:
    from largestep.config.data import CustomImages

# Numbers of channels that images usually have.
CHANNELS = (1, 3, 4)
# The order of the arrays where the function returns them as a tuple.
NAMES = ("train_images", "train_labels", "test_images", "test_labels")


def prepare(settings: CustomImages, root: Path, mirror: str | None) -> ImageSet:
    """What the function `kind` returns for the keyword arguments `options`.

    It may lie in a module of the working directory. It returns four NumPy arrays, as a mapping by name or as a
    tuple: train_images and test_images, uint8 levels of (n, channel, row, column) or (n, row, column), and
    train_labels and test_labels, integers of (n,) from 0, every one of which occurs among the training labels.
    Raises StoreError, naming the function, for anything that is wrong with it.
    """
    name = settings.kind
    arrays = dict(zip(NAMES, _arrays(name, _call(name, settings.options)), strict=True))
    train, test = (_part(name, part, arrays[f"{part}_images"], arrays[f"{part}_labels"]) for part in ("train", "test"))
    occurring = np.unique(train[1])
    if not np.array_equal(occurring, np.arange(len(occurring))):
        raise _wrong(
            name,
            f"train_labels must be all of 0 to classes - 1, "
            f"but {len(occurring)} classes from {occurring[0]} to {occurring[-1]} occur",
        )
    if not 0 <= test[1].min() <= test[1].max() <= occurring[-1]:
        raise _wrong(name, f"test_labels must lie from 0 to {occurring[-1]}, the largest of train_labels")
    images = from_arrays(train, test, classes=len(occurring))
    if problem := fault(images):
        raise _wrong(name, problem)
    return with_notes(images)


def _part(
    name: str, part: str, images: NDArray[Any], labels: NDArray[Any]
) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    """Training or test images of (n, channel, row, column), and labels."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise _wrong(name, f"{part}_images must be uint8 of (n, channel, row, column), not {_kind(images)}")
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise _wrong(name, f"{part}_labels must be {len(images)} integers, not {_kind(labels)}")
    if images.max() == 1:
        raise _wrong(
            name, f"{part}_images has no level but 0 and 1, where white is {WHITE}; multiply by {WHITE} before rounding"
        )
    if images.ndim == 4 and images.shape[1] not in CHANNELS and images.shape[3] in CHANNELS:
        raise _wrong(
            name,
            f"{part}_images of shape {images.shape} have the channels last; return (n, channel, row, column), "
            "as images.transpose(0, 3, 1, 2) gives",
        )
    return images[:, None] if images.ndim == 3 else images, labels


def _call(name: str, options: Mapping[str, Any]) -> object:
    """The result of the named function."""
    module, _, attribute = name.rpartition(".")
    # Whatever the user's code raises is for the user to mend, and must not end in a traceback of the workflow.
    try:
        function: Any = getattr(imported(module), attribute, None)
    except (Exception, SystemExit) as error:
        raise _wrong(name, f"its module cannot be imported ({told(error)})") from error
    if not callable(function):
        raise _wrong(name, f"module {module} has no function {attribute}")
    try:
        with contained():
            return function(**options)
    except (Exception, SystemExit) as error:
        raise _wrong(name, f"it raised {told(error)}") from error


def _arrays(name: str, result: object) -> list[NDArray[Any]]:
    """The four arrays, in the order of NAMES."""
    if isinstance(result, Mapping) and set(result) == set(NAMES):
        values = [result[key] for key in NAMES]
    elif isinstance(result, tuple) and len(result) == len(NAMES):
        values = list(result)
    else:
        keys = f": {', '.join(map(str, result))}" if isinstance(result, Mapping) else ""
        raise _wrong(
            name, f"it must return a mapping or tuple of {', '.join(NAMES)}, not {type(result).__name__}{keys}"
        )
    for key, value in zip(NAMES, values, strict=True):
        if not isinstance(value, np.ndarray):
            raise _wrong(name, f"{key} must be a NumPy array, not {type(value).__name__}")
    return values


def _wrong(name: str, what: str) -> StoreError:
    return StoreError(f"{name}: {what}; correct the function, or data.kind and data.options in config.yaml")


def _kind(array: NDArray[Any]) -> str:
    return f"{array.dtype} of shape {array.shape}"
