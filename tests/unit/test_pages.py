"""The house style: pages of at most 2 x 3 panels, text to be read in print, colours that everybody can tell apart."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from largestep import stages
from largestep.figures import style
from largestep.report.pictures import pictures
from tests.unit.test_figures import made_up

# Machado, Oliveira and Fernandes 2009: how linear RGB looks without the red, the green and the blue cones.
WITHOUT = {
    "red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
# CIE 1976 colour difference; about 2 is just to be seen side by side.
APART = 9.0


def lab(colour: str, cones: str | None) -> np.ndarray:
    """A colour in CIE L*a*b*, as it looks without these cones."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    if cones:
        linear = np.clip(np.array(WITHOUT[cones]) @ linear, 0.0, 1.0)
    x, y, z = np.cbrt(TO_XYZ @ linear / (TO_XYZ @ np.ones(3)))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("cones", [None, *WITHOUT])
def test_colours_can_be_told_apart_by_everybody(cones: str | None) -> None:
    schedules = [style.colour(fraction) for fraction in (0.0, np.nan, 0.1, 0.3, 0.5)]
    for palette in (schedules, [shade for _, shade in style.ALGORITHMS.values()]):
        for one, other in itertools.combinations(palette, 2):
            assert np.linalg.norm(lab(one, cones) - lab(other, cones)) > APART, (one, other)


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (4, [4]), (6, [6]), (7, [4, 3]), (12, [6, 6]), (13, [4, 5, 4])])
def test_panels_are_shared_out_evenly(count: int, sizes: list[int]) -> None:
    groups = style.parted(range(count))
    assert sorted(map(len, groups)) == sorted(sizes)
    assert [each for group in groups for each in group] == list(range(count))
    for group in groups:
        rows, columns = style.shape(len(group))
        assert (rows, columns) <= (2, 3)
        assert rows * columns >= len(group)


@pytest.mark.parametrize(("view", "kind"), [("curves", "diagonal"), ("curves", "images"), ("blocks", "images")])
def test_every_page_can_be_read_in_print(view: str, kind: str, tmp_path: Path) -> None:
    figure = stages.worker("figures", view).draw(made_up(kind))
    assert isinstance(figure, style.Book)
    style.save(figure, tmp_path / "a.png", tmp_path / "a.pdf")
    for page in figure.pages:
        assert 0 < len(page.axes) <= style.MOST_PANELS
        assert page.bbox.width == figure.bbox.width
        for legend in page.legends:
            assert legend.get_window_extent().width <= figure.bbox.width
    # At the width that it is made for; text says how to read a band.
    assert figure.get_size_inches()[0] == style.TEXT_WIDTH
    written = [text for text in figure.findobj(Text) if text.get_text().strip()]
    assert min(text.get_fontsize() for text in written) >= 7
    assert sum("middle half (25–75%)" in " ".join(text.get_text().split()) for text in written) == len(figure.pages)
    document = (tmp_path / "a.pdf").read_bytes()
    assert len(re.findall(rb"/Type /Page\b(?!s)", document)) == len(figure.pages)
    assert b"/Subject" in document
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        assert image.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
        heights = [int(height) for height in image.info["Pages"].split()]
        assert sum(heights) == image.height
    shown = list(pictures(tmp_path / "a.png"))
    assert [each.height for each in shown] == heights
    assert all("training step" in each.text for each in shown)
