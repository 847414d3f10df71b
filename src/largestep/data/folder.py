"""A folder of images of one's own: `train/<class>/` and `test/<class>/` with an image in each file.

Its content is declared by a checksum in config.yaml: what an experiment depends on is then in its settings, and
neither the place of the folder nor the times of its files count.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from largestep.data.image_set import ImageSet, from_arrays
from largestep.data.oddities import listed, with_notes
from largestep.data.pixels import Looks, decode, stretch
from largestep.store import StoreError

if TYPE_CHECKING:
    from largestep.config.data import ImageFolder

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".bmp", ".webp"})
FORMATS = ("PNG", "JPEG", "PPM", "BMP", "WEBP")
PARTS = ("train", "test")
# Beyond which a change of proportions is worth a note.
STRETCHED = 1.1


def prepare(settings: ImageFolder, root: Path, mirror: str | None) -> ImageSet:
    """The images of `folder`, resized and converted; classes, and the images of each, are sorted by name.

    settings: `folder` (absolute, or relative to root), `sha256` (see `checksum`), `size` (rows and columns),
    `channels` (1 or 3) and `background` (three levels, or None). What is left out is in the notes, with the reason.
    Raises StoreError when the folder is not so arranged, does not have the checksum or has a broken image.
    """
    folder = root / os.path.expanduser(os.path.expandvars(settings.folder))
    if not folder.is_dir():
        raise StoreError(
            f"{folder}: there is no such folder; give data.folder in config.yaml as an absolute path, "
            f"or put the images below {root}, where data.root looks"
        )
    actual = checksum(folder)
    if actual != settings.sha256:
        raise StoreError(
            f"{folder}: its images have the checksum {actual}, not the declared one; "
            f"if they are the right ones, put it under data.sha256 in config.yaml"
        )
    classes = _classes(folder)
    rows, columns = settings.size
    background = None if settings.background is None else tuple(settings.background)
    looks = Looks(settings.channels, (rows, columns), background=background, upright=True, resize=True)
    files = {
        part: [(path, k) for k, name in enumerate(classes) for path in _images(folder / part / name)] for part in PARTS
    }
    stretched: list[Path] = []
    images = from_arrays(*(_part(files[part], looks, stretched) for part in PARTS), classes=len(classes))
    train, test = ([str(path.relative_to(folder)) for path, _ in files[part]] for part in PARTS)
    notes = _notes(folder, classes, len(train), len(test))
    if stretched:
        names = listed([str(path.relative_to(folder)) for path in stretched])
        notes.append(f"of other proportions than {rows}x{columns}, and stretched: {len(stretched)} ({names})")
    return with_notes(images, (train, test), notes)


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
                left_out = "".join(f"; left out: {why}" for why in _left_out(folder / part / name))
                raise StoreError(
                    f"{folder / part / name}: there must be images here, as every class needs some in train and in test"
                    f"{left_out}"
                )
    if not names["train"]:
        raise StoreError(f"{folder}: has no class; put images into train/<class>/ and test/<class>/")
    return sorted(names["train"])


def _images(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.suffix.lower() in SUFFIXES and path.is_file()]


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _notes(folder: Path, classes: Sequence[str], train: int, test: int) -> list[str]:
    """What was read, and what was left out of it and why."""
    left_out = _left_out(folder, PARTS)
    for part in PARTS:
        left_out += _left_out(folder / part, classes)
        for name in classes:
            left_out += _left_out(folder / part / name)
    return [f"{folder}: {train} training and {test} test images of {len(classes)} classes were read", *left_out]


def _left_out(folder: Path, taken: Collection[str] = ()) -> list[str]:
    """Lines on the files and folders that are no images, by reason; taken: names of folders that count."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name not in taken and (why := _reason(path, images=not taken)):
            reasons[why].append(path.name)
    return [f"{folder}: {len(names)} {why} ({listed(names)})" for why, names in sorted(reasons.items())]


def _reason(path: Path, *, images: bool) -> str | None:
    """Why something is left out; None if it is an image. images: whether images count where it lies."""
    if path.name.startswith("."):
        return "hidden"
    if path.is_symlink() and not path.exists():
        return "links to nothing"
    if path.is_dir():
        return "folders inside a class" if images else "folders that are no part and no class"
    if not path.is_file():
        return "no files"
    if not images:
        return "files outside of the folders of classes"
    return None if path.suffix.lower() in SUFFIXES else f"with another ending than {', '.join(sorted(SUFFIXES))}"


def _part(
    files: Sequence[tuple[Path, int]], looks: Looks, stretched: list[Path]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images and labels; puts those that lose their proportions into `stretched`."""
    images = np.empty((len(files), looks.channels, *looks.size), np.uint8)
    for image, (path, _) in zip(images, files, strict=True):
        with path.open("rb") as stream:
            image[:] = decode(str(path), stream, FORMATS, looks)
            stream.seek(0)
            if stretch(stream, FORMATS, looks.size) > STRETCHED:
                stretched.append(path)
    return images, np.array([label for _, label in files])
