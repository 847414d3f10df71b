"""Decoding of image files to arrays of levels."""

from __future__ import annotations

import warnings
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from largestep.data.image_set import one_line
from largestep.store import StoreError

# Pillow's name of 8-bit grey or colour by the number of channels.
MODES = {1: "L", 3: "RGB"}
# Modes with at most eight bits a channel; Pillow clips deeper ones when it converts them.
CONVERTIBLE = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def decode(
    name: str, stream: BinaryIO, channels: int, size: tuple[int, int], formats: tuple[str, ...], *, resize: bool
) -> NDArray[np.uint8]:
    """An image of (channel, row, column), converted to grey or RGB; transparency and EXIF rotation are ignored.

    size: rows and columns, which the image must have unless it is to be resized (bilinear, with antialiasing).
    formats: names that Pillow gives to the formats that are allowed.
    Raises StoreError, naming the image, when it cannot be decoded.
    """
    try:
        with warnings.catch_warnings():
            # Odd metadata and large photographs do no harm; Pillow refuses what would fill the memory.
            warnings.simplefilter("ignore")
            with Image.open(stream, formats=formats) as image:
                return _levels(name, image, channels, size, resize)
    except StoreError:
        raise
    except MemoryError as error:
        raise StoreError(f"{name}: does not fit into memory; make it smaller and run again") from error
    # Pillow's decoders fail in many ways.
    except Exception as error:
        raise StoreError(f"{name}: is not a readable image ({one_line(error)}); replace or remove it") from error


def _levels(name: str, image: Image.Image, channels: int, size: tuple[int, int], resize: bool) -> NDArray[np.uint8]:
    rows, columns = size
    if image.mode not in CONVERTIBLE:
        raise StoreError(f"{name}: has pixels of mode {image.mode}; convert it to 8 bits a channel")
    if image.size != (columns, rows) and not resize:
        raise StoreError(f"{name}: has {image.height} rows and {image.width} columns instead of {rows} and {columns}")
    converted = image.convert(MODES[channels])
    if converted.size != (columns, rows):
        converted = converted.resize((columns, rows), Image.Resampling.BILINEAR)
    return np.asarray(converted).reshape(rows, columns, channels).transpose(2, 0, 1)
