"""The images that an experiment takes of a data set, from the file that the images stage wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from largestep import stages
from largestep.data.image_set import ImageSet, part, read

if TYPE_CHECKING:
    from largestep.config.data import Images
    from largestep.specs.cells import DataSpec


def read_problem(path: Path, data: DataSpec) -> ImageSet:
    """The images that a cell is trained on; data: the part `data` of its spec. Raises StoreError."""
    code = stages.chain("images", data.data.kind)
    return part(read(path, spec=data.image_set().text(), code=code), cast("Images", data.data))
