"""CIFAR-10 and CIFAR-100: 60000 colour images of 32x32 pixels, in the binary version of the archives.

A record is one byte of label (CIFAR-100: coarse, then fine) and the red, green and blue channels in row-major
order. The version for Python is left alone: it is pickled, and a pickle can execute code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from largestep.data.archives import ARCHIVES, fetch, untar
from largestep.data.image_set import ImageSet, from_arrays
from largestep.store import StoreError

if TYPE_CHECKING:
    from largestep.config.data import PublishedImages

SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class _Layout:
    """What an archive holds: members with their number of records, bytes of label (the last counts), classes."""

    train: Mapping[str, int]
    test: Mapping[str, int]
    label_bytes: int
    classes: int


LAYOUTS = {
    "cifar10": _Layout(
        train={f"cifar-10-batches-bin/data_batch_{i}.bin": 10000 for i in range(1, 6)},
        test={"cifar-10-batches-bin/test_batch.bin": 10000},
        label_bytes=1,
        classes=10,
    ),
    "cifar100": _Layout(
        train={"cifar-100-binary/train.bin": 50000},
        test={"cifar-100-binary/test.bin": 10000},
        label_bytes=2,
        classes=100,
    ),
}


def prepare(settings: PublishedImages, root: Path, mirror: str | None) -> ImageSet:
    """The published training and test images of the kind `cifar10` or `cifar100`, the latter with fine labels.

    Raises StoreError when the archive cannot be fetched or does not hold what it should.
    """
    kind = settings.kind
    layout = LAYOUTS[kind]
    (archive,) = ARCHIVES[kind].values()
    path = fetch(kind, archive, root, mirror)
    record = layout.label_bytes + int(np.prod(SHAPE))
    contents = untar(path, {name: count * record for name, count in {**layout.train, **layout.test}.items()})
    parts = [_part(path, [contents[name] for name in names], layout) for names in (layout.train, layout.test)]
    return from_arrays(*parts, classes=layout.classes)


def _part(path: Path, contents: list[bytes], layout: _Layout) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    records = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, layout.label_bytes + int(np.prod(SHAPE)))
    labels = records[:, layout.label_bytes - 1]
    if labels.max() >= layout.classes:
        raise StoreError(f"{path}: has a label {labels.max()}, above {layout.classes - 1}; delete it and run again")
    return records[:, layout.label_bytes :].reshape(-1, *SHAPE), labels
