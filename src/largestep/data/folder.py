"""A folder of images of one's own: `train/<class>/` and `test/<class>/` with an image in each file.

Its content is declared by a checksum in config.yaml: what an experiment depends on is then in its settings, and
neither the place of the folder nor the times of its files count.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from largestep.data.image_set import ImageSet, from_arrays
from largestep.data.pixels import decode
from largestep.store import StoreError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".bmp", ".webp"})
FORMATS = ("PNG", "JPEG", "PPM", "BMP", "WEBP")
PARTS = ("train", "test")


def prepare(settings: Mapping[str, Any], root: Path, mirror: str | None) -> ImageSet:
    """The images of `folder`, resized and converted; classes, and the images of each, are sorted by name.

    settings: `folder` (absolute, or relative to root), `sha256` (see `checksum`), `size` (rows and columns) and
    `channels` (1 or 3). Hidden files, and those without the suffix of an image, are left out.
    Raises StoreError when the folder is not so arranged, does not have the checksum or has a broken image.
    """
    folder = root / settings["folder"]
    found = checksum(folder)
    if found != settings["sha256"]:
        raise StoreError(
            f"{folder}: its images have the checksum {found}, not the declared one; "
            f"if they are the right ones, put it under data.sha256 in config.yaml"
        )
    classes = _classes(folder)
    rows, columns = settings["size"]
    parts = [_part(folder / part, classes, settings["channels"], (rows, columns)) for part in PARTS]
    return from_arrays(*parts, classes=len(classes))


def checksum(folder: Path) -> str:
    """sha256 over the sorted relative paths of a folder's images and the content of each.

    Raises StoreError when the folder is not arranged as it must be, or cannot be read.
    """
    seal = hashlib.sha256()
    try:
        for name in _classes(folder):
            for part in PARTS:
                for path in _images(folder / part / name):
                    with path.open("rb") as file:
                        content = hashlib.file_digest(file, "sha256").hexdigest()
                    seal.update(os.fsencode(path.relative_to(folder).as_posix()) + f"\0{content}\n".encode())
    except OSError as error:
        raise StoreError(
            f"{error.filename or folder}: cannot be read: {error.strerror}; correct the folder or its name"
        ) from error
    return seal.hexdigest()


def _classes(folder: Path) -> list[str]:
    """Names of the classes, the same in both parts, each with at least one image in either."""
    names = {part: {path.name for path in _visible(folder / part) if path.is_dir()} for part in PARTS}
    for name in sorted(names["train"] | names["test"]):
        for part in PARTS:
            if name not in names[part] or not _images(folder / part / name):
                raise StoreError(
                    f"{folder / part / name}: there must be images here, as every class needs some in train and in test"
                )
    if not names["train"]:
        raise StoreError(f"{folder}: has no class; put images into train/<class>/ and test/<class>/")
    return sorted(names["train"])


def _images(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.suffix.lower() in SUFFIXES and path.is_file()]


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _part(
    folder: Path, classes: list[str], channels: int, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    files = [(path, label) for label, name in enumerate(classes) for path in _images(folder / name)]
    images = np.empty((len(files), channels, *size), np.uint8)
    for image, (path, _) in zip(images, files, strict=True):
        with path.open("rb") as stream:
            image[:] = decode(str(path), stream, channels, size, FORMATS, resize=True)
    return images, np.array([label for _, label in files])
