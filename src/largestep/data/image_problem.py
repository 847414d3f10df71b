"""The images that an experiment takes of a data set, from the file that the images stage wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from largestep import stages
from largestep.data.image_set import ImageSet, part, read
from largestep.data.image_spec import image_spec
from largestep.keys import canonical


def read_problem(path: Path, data: dict[str, Any]) -> ImageSet:
    """The images that a cell is trained on; data: the part `data` of its spec. Raises StoreError."""
    settings = data["data"]
    code = stages.chain("images", settings["kind"])
    return part(read(path, spec=canonical(image_spec(settings)), code=code), settings)
