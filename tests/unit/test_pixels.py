"""What Pillow does to images of unusual modes, and ours must not (docs/pitfalls.md)."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from largestep.data.pixels import Looks, decode
from largestep.store import StoreError


def read(image: Image.Image, form: str, side: int, *, resize: bool) -> np.ndarray:
    stream = io.BytesIO()
    image.save(stream, form)
    stream.seek(0)
    return decode("a", stream, (form,), Looks(1, (side, side), resize=resize))


@pytest.mark.parametrize("mode", ["1", "P", "L"])
def test_drawings_are_smoothed_when_resized(mode: str) -> None:
    comb = np.zeros((32, 32), np.uint8)
    comb[:, ::4] = 255
    levels = read(Image.fromarray(comb).convert(mode), "PNG", 8, resize=True)
    assert levels.mean() == pytest.approx(255 / 4, abs=5)
    assert 0 < levels.min() < levels.max() < 255


def test_floating_point_levels_are_refused() -> None:
    levels = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    with pytest.raises(StoreError, match=r"a: has more than 8 bits a channel \(mode F\); convert it to 8"):
        read(Image.fromarray(levels), "TIFF", 4, resize=False)
