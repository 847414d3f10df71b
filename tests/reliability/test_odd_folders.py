"""Generated folders of images as people keep them: read as their maker drew them, or one line says why not.

What a file shows is known from the arrays it was made of; what is wrong with it, from how it was spoilt.
"""

from __future__ import annotations

import io
import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from largestep.data import folder, image_set
from largestep.store import StoreError
from tests.reliability.conftest import Counted
from tests.reliability.generated import drawn
from tests.settings import as_settings

SIZE = 6
WHITE = (255, 255, 255)
NAMES = (
    "cat",
    "Dog",
    "été",
    "名前",
    "a b",
    "it's",
    "x" * 60,
    "$HOME",
    "-rf",
    "1",
    "&",
    "per%cent",
    "a\tb",
    "two\nlines",
)
# Endings that are read, by the format that is written, and those that are left out.
READ = {"PNG": (".png", ".PNG"), "BMP": (".bmp",), "PPM": (".ppm", ".Pgm"), "WEBP": (".webp",)}
LEFT_OUT = (".tif", ".gif", ".jfif", ".txt", "", ".png~", ".npy")
# What makes the whole folder refused, with a word of the line that says so.
SPOILT = {
    "truncated": "readable",
    "no image": "readable",
    "empty file": "readable",
    "16 bits": "8 bits a channel",
    "animated": "frames",
    "empty class": "there must be images here",
    "only in train": "there must be images here",
}


@dataclass
class Made:
    """A folder, the levels (channel, row, column) of its images by part, class and name, and what is odd about it."""

    folder: Path
    shown: dict[tuple[str, str, str], np.ndarray] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    spoilt: str = ""
    transparent: bool = False


def over(levels: np.ndarray, alpha: np.ndarray, background: tuple[int, ...]) -> np.ndarray:
    """Colours (row, column, 3) on a background where alpha is 0."""
    return np.where(alpha[..., None] == 0, np.array(background, np.uint8), levels)


def picture(draw: random.Random, made: Made, background: tuple[int, ...] | None) -> tuple[bytes, str, np.ndarray]:
    """Content and ending of a file, and the levels (row, column, 3) that it shows."""
    array = np.random.default_rng(draw.randrange(2**32))
    levels = array.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    grey = np.repeat(levels[..., :1], 3, axis=2)
    alpha = np.where(array.random((SIZE, SIZE)) < 0.5, 0, 255).astype(np.uint8)
    kind = draw.choice(
        ["colour"] * 4 + ["grey", "black and white", "palette", "upside down"] + ["opaque", "see-through"]
    )
    clear = kind == "see-through" and draw.random() < (0.1 if background is None else 1.0)
    made.transparent |= clear and bool((alpha == 0).any())
    how: dict[str, object] = {}
    if kind == "colour":
        image, shown = Image.fromarray(levels), levels
    elif kind == "grey":
        image, shown = Image.fromarray(levels[..., 0]), grey
    elif kind == "black and white":
        image, shown = Image.fromarray(alpha).convert("1"), np.repeat(alpha[..., None], 3, axis=2)
    elif kind == "palette":
        few = levels.copy()
        few[:] = levels[0, 0]
        few[1:3] = levels[1, 1]
        image, shown = Image.fromarray(few).quantize(8), few
    elif kind == "upside down":
        image, shown, how = Image.fromarray(levels), levels[::-1, ::-1], {"exif": exif(3)}
    elif clear:
        shown = over(levels, alpha, background or WHITE)
        mode = draw.choice(["RGBA", "LA", "tRNS"])
        image = Image.fromarray(np.dstack([levels, alpha]))
        if mode == "LA":
            shown = over(grey, alpha, background or WHITE)
            image = Image.merge("LA", [Image.fromarray(levels[..., 0]), Image.fromarray(alpha)])
        elif mode == "tRNS":
            image, how = Image.fromarray(levels[..., 0]), {"transparency": int(levels[0, 0, 0])}
            shown = over(grey, np.where(levels[..., 0] == levels[0, 0, 0], 0, 255), background or WHITE)
    else:
        image, shown = Image.fromarray(np.dstack([levels, np.full((SIZE, SIZE), 255, np.uint8)])), levels
    lossless = ["PNG"] if kind not in ("colour", "grey") else list(READ)
    file_format = draw.choice(lossless)
    stream = io.BytesIO()
    image.save(stream, file_format, **({"lossless": True} if file_format == "WEBP" else {}), **how)
    return stream.getvalue(), draw.choice(READ[file_format]), shown


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def make(path: Path, draw: random.Random, background: tuple[int, ...] | None) -> Made:
    """A folder of two or three classes; one in three is spoilt."""
    made = Made(path)
    classes = draw.sample(NAMES, draw.choice([2, 2, 3]))
    for part in folder.PARTS:
        for name in classes:
            place = path / part / name
            place.mkdir(parents=True)
            for number in range(draw.choice([1, 2, 3])):
                content, ending, shown = picture(draw, made, background)
                file = draw.choice(["img", "Ünï", "a b", "'", "%s", "x" * 80, "a\nb"]) + str(number)
                (place / f"{file}{ending}").write_bytes(content)
                made.shown[part, name, f"{file}{ending}"] = shown
            clutter(place, draw, made)
    if draw.random() < 0.3:
        made.spoilt = draw.choice(sorted(SPOILT))
        spoil(path / "train" / classes[0], made, draw)
    return made


def clutter(place: Path, draw: random.Random, made: Made) -> None:
    """What lies about in folders and is no picture."""
    for what in draw.sample(["hidden", "link", "folder", "ending", "ending"], draw.randrange(3)):
        if what == "hidden":
            (place / ".DS_Store.png").write_bytes(b"x")
            made.left_out["hidden"] += 1
        elif what == "link":
            (place / "gone.png").symlink_to("nowhere.png")
            made.left_out["links to nothing"] += 1
        elif what == "folder":
            (place / "more.png").mkdir()
            made.left_out["folders inside a class"] += 1
        else:
            ending = draw.choice(LEFT_OUT)
            if not (place / f"other{ending}").exists():
                (place / f"other{ending}").write_bytes(b"GIF89a")
                made.left_out["with another ending"] += 1


def spoil(place: Path, made: Made, draw: random.Random) -> None:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), np.uint8)
    if made.spoilt == "truncated":
        Image.fromarray(noise).save(stream, "PNG")
        (place / "zz.png").write_bytes(stream.getvalue()[: draw.randrange(20, 60)])
    elif made.spoilt == "no image":
        (place / "zz.jpg").write_bytes(b"<html>not found</html>")
    elif made.spoilt == "empty file":
        (place / "zz.bmp").write_bytes(b"")
    elif made.spoilt == "16 bits":
        Image.fromarray(noise.astype(np.uint16) * 257).save(place / "zz.png")
    elif made.spoilt == "animated":
        frames = [Image.fromarray(noise), Image.fromarray(255 - noise)]
        frames[0].save(place / "zz.png", save_all=True, append_images=frames[1:])
    elif made.spoilt == "empty class":
        for file in place.iterdir():
            if file.is_file() or file.is_symlink():
                file.unlink()
    else:
        shutil.rmtree(place.parents[1] / "test" / place.name)


def why(made: Made, background: tuple[int, ...] | None, text: str) -> str:
    """Why the folder was refused, which must be what is wrong with it."""
    assert len(text.splitlines()) == 1
    assert str(made.folder) in text
    if made.transparent and background is None and "transparent" in text:
        return "transparent pixels without a background"
    assert made.spoilt, text
    assert SPOILT[made.spoilt] in text
    return made.spoilt


@drawn(60)
@given(seed=st.integers(0, 2**32))
def test_odd_folders_are_refused_or_read_as_they_look(
    tmp_path_factory: pytest.TempPathFactory, counted: Counted, seed: int
) -> None:
    draw = random.Random(seed)
    channels, background = draw.choice([3, 3, 1]), draw.choice([None, WHITE, (10, 200, 30)])
    made = make(tmp_path_factory.mktemp("odd") / draw.choice(["pictures", 'it\'s "mine" & ümlaut']), draw, background)
    settings = {"kind": "folder", "folder": str(made.folder), "size": [SIZE, SIZE], "channels": channels}
    try:
        settings |= {"background": background and list(background), "sha256": folder.checksum(made.folder)}
        images = folder.prepare(as_settings(settings), Path("unused"), None)
    except StoreError as error:
        counted(f"odd folders refused: {why(made, background, str(error))}")
        return
    assert not made.spoilt
    assert background is not None or not made.transparent
    assert image_set.fault(images) is None
    counted("odd folders read as they look")
    classes = sorted({name for _, name, _ in made.shown})
    for part, levels, labels in (
        ("train", images.train_images, images.train_labels),
        ("test", images.test_images, images.test_labels),
    ):
        files = sorted((classes.index(name), name, file) for which, name, file in made.shown if which == part)
        assert labels.tolist() == [label for label, _, _ in files]
        for read, (_, name, file) in zip(levels.numpy(), files, strict=True):
            shown = made.shown[part, name, file].astype(int)
            if channels == 1:
                # Of grey by ITU-R 601: a level apart by rounding.
                assert abs(read[0] - shown @ [0.299, 0.587, 0.114]).max() <= 1, file
            else:
                np.testing.assert_array_equal(read.transpose(1, 2, 0), shown, err_msg=file)
    notes = " ".join(images.notes)
    assert f"{len(images.train_images)} training and {len(images.test_images)} test images" in notes
    counts: Counter[str] = Counter()
    for note in images.notes[1:]:
        for reason in made.left_out:
            if f" {reason}" in note and (number := note.split(": ")[-1].split()[0]).isdigit():
                counts[reason] += int(number)
    assert counts == made.left_out
