"""Tiny ImageNet: 110000 colour images of 64x64 pixels in 200 classes, as JPEG files in a zip archive.

The labels of its test part were never published, so its validation part is the test set here.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from largestep.data.archives import ARCHIVES, fetch, reading, unzip
from largestep.data.image_set import ImageSet, from_arrays
from largestep.data.pixels import Looks, decode
from largestep.store import StoreError

if TYPE_CHECKING:
    from largestep.config.data import PublishedImages

FOLDER = "tiny-imagenet-200"
CLASSES, IMAGES_OF_CLASS, TEST_IMAGES, SIDE = 200, 500, 10000, 64
# No image of 64x64 pixels and no list has more bytes.
LARGEST = 1 << 20


def prepare(settings: PublishedImages, root: Path, mirror: str | None) -> ImageSet:
    """The published training and validation images, in RGB; classes in the order of `wnids.txt`.

    Raises StoreError when the archive cannot be fetched, or lacks an image or has a broken one.
    """
    (archive,) = ARCHIVES[settings.kind].values()
    path = fetch(settings.kind, archive, root, mirror)
    with reading(path), zipfile.ZipFile(path) as file:
        classes = {name: label for label, name in enumerate(_lines(path, file, "wnids.txt", CLASSES))}
        train = [
            (f"train/{name}/images/{name}_{i}.JPEG", label)
            for name, label in classes.items()
            for i in range(IMAGES_OF_CLASS)
        ]
        test = []
        for line in _lines(path, file, "val/val_annotations.txt", TEST_IMAGES):
            image, name, *_ = [*line.split("\t"), ""]
            if name not in classes:
                raise StoreError(
                    f"{path}: val_annotations.txt has no known class in {line!r:.60}; delete it and run again"
                )
            test.append((f"val/images/{image}", classes[name]))
        parts = _part(path, file, train), _part(path, file, test)
    return from_arrays(*parts, classes=CLASSES)


def _lines(path: Path, file: zipfile.ZipFile, name: str, count: int) -> list[str]:
    lines = unzip(path, file, f"{FOLDER}/{name}", LARGEST).decode().splitlines()
    if not len(lines) == len(set(lines)) == count:
        raise StoreError(f"{path}: {name} does not have {count} different lines; delete the archive and run again")
    return lines


def _part(
    path: Path, file: zipfile.ZipFile, members: Iterable[tuple[str, int]]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    names, labels = zip(*members, strict=True)
    images = np.empty((len(names), 3, SIDE, SIDE), np.uint8)
    for image, name in zip(images, names, strict=True):
        content = io.BytesIO(unzip(path, file, f"{FOLDER}/{name}", LARGEST))
        image[:] = decode(f"{path}: {name}", content, ("JPEG",), Looks(3, (SIDE, SIDE)))
    return images, np.array(labels)
