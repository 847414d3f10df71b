"""Decoding of image files to arrays of levels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile

from largestep.data.image_set import one_line
from largestep.store import StoreError

# Pillow's name of 8-bit grey or colour by the number of channels.
MODES = {1: "L", 3: "RGB"}
# Modes with at most eight bits a channel; Pillow clips deeper ones when it converts them.
CONVERTIBLE = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
# Formats with 16 bits a channel, and with several frames; of photographs of phones, JPEG, the first is the picture.
DEEP, ANIMATED = ("PNG", "PPM"), ("PNG", "WEBP")
OPAQUE = 255
# The tag of EXIF, and those of its values that exchange rows and columns.
ORIENTATION, ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)


@dataclass(frozen=True)
class Looks:
    """What an image has to look like.

    channels: 1 or 3. size: rows and columns, which it must have unless `resize` (bilinear, with antialiasing).
    background: levels of red, green and blue under transparent pixels; None refuses such. upright: turned as its EXIF
    orientation says.
    """

    channels: int
    size: tuple[int, int]
    background: tuple[int, ...] | None = None
    upright: bool = False
    resize: bool = False


def decode(name: str, stream: BinaryIO, formats: tuple[str, ...], looks: Looks) -> NDArray[np.uint8]:
    """An image of (channel, row, column), converted to grey or RGB.

    formats: names that Pillow gives to the formats that are allowed.
    Raises StoreError, naming the image, when it cannot be decoded, has more than 8 bits a channel or several frames.
    """
    try:
        with warnings.catch_warnings():
            # Odd metadata and large photographs do no harm; Pillow refuses what would fill the memory.
            warnings.simplefilter("ignore")
            with Image.open(stream, formats=formats) as image:
                return _levels(name, image, looks)
    except StoreError:
        raise
    except MemoryError as error:
        raise StoreError(f"{name}: does not fit into memory; make it smaller and run again") from error
    # Pillow's decoders fail in many ways.
    except Exception as error:
        raise StoreError(f"{name}: is not a readable image ({one_line(error)}); replace or remove it") from error


def stretch(stream: BinaryIO, formats: tuple[str, ...], size: tuple[int, int]) -> float:
    """By how much an image that can be decoded changes its proportions where it is resized, 1 or more.

    formats: as of `decode`. size: rows and columns, of the image turned as its EXIF orientation says.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what `decode` takes without a word
        with Image.open(stream, formats=formats) as image:
            columns, rows = image.size
            if image.getexif().get(ORIENTATION) in ON_ITS_SIDE:
                columns, rows = rows, columns
    ratio = columns * size[0] / (rows * size[1])
    return max(ratio, 1.0 / ratio)


def _levels(name: str, image: ImageFile, looks: Looks) -> NDArray[np.uint8]:
    rows, columns = looks.size
    if image.mode not in CONVERTIBLE or _is_deep(image):
        raise StoreError(f"{name}: has more than 8 bits a channel (mode {image.mode}); convert it to 8")
    frames = getattr(image, "n_frames", 1)
    if image.format in ANIMATED and frames > 1:
        raise StoreError(f"{name}: has {frames} frames; keep one of them")
    turned = ImageOps.exif_transpose(image) if looks.upright else image
    if turned.size != (columns, rows) and not looks.resize:
        raise StoreError(f"{name}: has {turned.height} rows and {turned.width} columns instead of {rows} and {columns}")
    converted = _opaque(name, turned, looks.background).convert(MODES[looks.channels])
    if converted.size != (columns, rows):
        converted = converted.resize((columns, rows), Image.Resampling.BILINEAR)
    return np.asarray(converted).reshape(rows, columns, looks.channels).transpose(2, 0, 1)


def _opaque(name: str, image: Image.Image, background: tuple[int, ...] | None) -> Image.Image:
    """The image on its background; converting it would show the colours that transparency hides."""
    if not image.has_transparency_data:
        return image
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema()[0] == OPAQUE:
        return layer
    if background is None:
        raise StoreError(
            f"{name}: has transparent pixels; set data.background in config.yaml to the colour under them, such as "
            "[255, 255, 255] for white"
        )
    return Image.alpha_composite(Image.new("RGBA", layer.size, (*background, OPAQUE)), layer)


def _is_deep(image: ImageFile) -> bool:
    """Whether an image of an 8-bit mode has 16 bits a channel in its file, of which Pillow would keep the high ones."""
    if image.format not in DEEP:
        return False
    details = [detail for tile in image.tile for detail in (tile[3] if isinstance(tile[3], tuple) else (tile[3],))]
    return any(";16" in detail if isinstance(detail, str) else detail > OPAQUE for detail in details if detail)
