"""Figures as parts of an HTML page: their own bytes, page by page, with what they say of themselves."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

MIME = {"PNG": "image/png", "GIF": "image/gif"}


@dataclass(frozen=True)
class Picture:
    """An image as an address that holds it, its size in pixels and its alternative text."""

    address: str
    width: int
    height: int
    text: str


def pictures(path: Path) -> Iterator[Picture]:
    """Every page of a figure; the heights of its pages and its alternative text stand in the file (`style.save`)."""
    with Image.open(path) as image:
        kind, said = str(image.format), image.info
        text = str(said.get("Description", path.stem.replace("_", " ")))
        heights = [int(height) for height in str(said.get("Pages", image.height)).split()]
        if len(heights) == 1:
            yield Picture(_address(path.read_bytes(), kind), image.width, image.height, text)
            return
        top = 0
        for number, height in enumerate(heights, 1):
            part = io.BytesIO()
            image.crop((0, top, image.width, top + height)).save(part, kind)
            yield Picture(_address(part.getvalue(), kind), image.width, height, f"Page {number}: {text}")
            top += height


def _address(content: bytes, kind: str) -> str:
    return f"data:{MIME[kind]};base64,{base64.b64encode(content).decode()}"
