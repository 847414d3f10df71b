"""What is odd in images of somebody's own: blank ones, and the same ones where they should differ."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Sequence

from torch import Tensor

from largestep.data.image_set import ImageSet
from largestep.keys import escaped

# Images that a note names.
NAMED = 3


def with_notes(
    images: ImageSet, names: tuple[Sequence[str], Sequence[str]] | None = None, notes: Sequence[str] = ()
) -> ImageSet:
    """An image set with notes on blank images and on equal ones in both parts or in two classes.

    names: of the training and of the test images; numbers from 0 on where they have none. notes: further ones.
    """
    train, test = names or _numbered(images)
    named = [
        *zip(train, images.train_labels.tolist(), strict=True),
        *zip(test, images.test_labels.tolist(), strict=True),
    ]
    digests = [*_digests(images.train_images), *_digests(images.test_images)]
    alike: dict[bytes, list[int]] = defaultdict(list)
    for place, digest in enumerate(digests):
        alike[digest].append(place)
    groups = [group for group in alike.values() if len(group) > 1]
    trained = len(train)
    seen = [
        _note("blank, of one level throughout", _blank(images.train_images, train) + _blank(images.test_images, test)),
        _note(
            "test images that are among the training images",
            [named[place][0] for group in groups if group[0] < trained for place in group if place >= trained],
        ),
        _note(
            "images that are in more than one class",
            [named[place][0] for group in groups if len({named[p][1] for p in group}) > 1 for place in group],
        ),
    ]
    return dataclasses.replace(images, notes=tuple(map(escaped, (*notes, *filter(None, seen)))))


def listed(names: Sequence[str]) -> str:
    """The first of some names."""
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")


def _note(what: str, names: Sequence[str]) -> str:
    return f"{what}: {len(names)} ({listed(names)})" if names else ""


def _numbered(images: ImageSet) -> tuple[list[str], list[str]]:
    return (
        [f"training image {number}" for number in range(len(images.train_images))],
        [f"test image {number}" for number in range(len(images.test_images))],
    )


def _digests(images: Tensor) -> list[bytes]:
    return [hashlib.sha256(image.tobytes()).digest() for image in images.numpy()]


def _blank(images: Tensor, names: Sequence[str]) -> list[str]:
    flat = images.flatten(1)
    return [names[place] for place in (flat.amin(1) == flat.amax(1)).nonzero()[:, 0].tolist()]
