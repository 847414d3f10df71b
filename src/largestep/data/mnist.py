"""MNIST and Fashion-MNIST: 70000 grey images of 28x28 pixels in 10 classes, in the IDX format.

IDX: two zero bytes, the type (8: unsigned byte), the number of dimensions, each dimension as a big-endian 32-bit
integer, then the values in row-major order.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from largestep.data.archives import ARCHIVES, fetch, gunzip
from largestep.data.image_set import ImageSet, from_arrays
from largestep.store import StoreError

if TYPE_CHECKING:
    from largestep.config.data import PublishedImages

CLASSES, SIDE = 10, 28
EXAMPLES = {"train": 60000, "t10k": 10000}
UNSIGNED_BYTE = 8


def prepare(settings: PublishedImages, root: Path, mirror: str | None) -> ImageSet:
    """The published training and test images of the kind `mnist` or `fashion_mnist`.

    Raises StoreError when a file cannot be fetched or does not hold what it should.
    """
    kind = settings.kind
    paths = {name: fetch(kind, archive, root, mirror) for name, archive in ARCHIVES[kind].items()}
    parts = [
        (
            _read(paths[f"{part}-images-idx3-ubyte.gz"], (count, SIDE, SIDE))[:, None],
            _read(paths[f"{part}-labels-idx1-ubyte.gz"], (count,)),
        )
        for part, count in EXAMPLES.items()
    ]
    return from_arrays(*parts, classes=CLASSES)


def _read(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    header = struct.pack(f">HBB{len(shape)}I", 0, UNSIGNED_BYTE, len(shape), *shape)
    content = gunzip(path, len(header) + int(np.prod(shape)))
    if not content.startswith(header):
        raise StoreError(f"{path}: is not an IDX file of {shape} unsigned bytes; delete it and run again")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
