"""Animate the paths over a slice of the loss, from a store of the study `loss_slice`, as GIF."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image

from largestep import store
from largestep.cli import existing, parser, run
from largestep.figures import loss_slice, style

Values = NDArray[np.float64]
# Inches.
SIZE = (7.0, 3.6)
DPI = 110
FRAMES_A_SECOND = 10
# Frames before the step size is divided, after it, and of the end standing still.
BEFORE, AFTER, STILL = 60, 25, 15


def main() -> None:
    """Read the study and write its animation."""
    arguments = parser("animation", __doc__)
    arguments.add_argument("--input", required=True, type=existing, help="store of the study")
    arguments.add_argument("--made-from", help="digest of the spec and the code that the study has to be made from")
    arguments.add_argument("--output", required=True, type=Path, help="GIF to write")
    options = arguments.parse_args()
    study = store.read(options.input, made_from=options.made_from)
    for key in loss_slice.NEEDS:
        if key not in study:
            raise store.StoreError(f"{options.input}: has no variable {key}; there is nothing to animate")
    save(study, options.output)


@style.house()
def save(study: xr.Dataset, path: Path) -> None:
    """Write the animation in one move; the same study always gives the same bytes.

    Raises StoreError when the file cannot be written.
    """
    images = list(_images(study))
    # One palette for all, that of the last image, or colours would change from image to image.
    palette = images[-1].quantize()
    first, *others = (image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images)
    duration = 1000 // FRAMES_A_SECOND
    with store.replacing(path) as part:
        first.save(part, format="GIF", save_all=True, append_images=others, duration=duration, loop=0)


def _images(study: xr.Dataset) -> Iterator[Image.Image]:
    """The three paths growing over the contours of the loss, beside their training losses."""
    figure = Figure(figsize=SIZE, dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=[1.1, 1.0])
    loss_slice.contours(left, study)
    loss_slice.marks(left, study)
    steps = study["step"].values
    divide_by = style.step_axis(right, steps)
    loss_slice.mark_decay(right, study)
    right.set(title="training loss", ylabel="squared error (no unit)")
    grown: list[tuple[Line2D, Values]] = []
    heads: list[tuple[Line2D, Values]] = []
    for name in loss_slice.PATHS:
        shade = style.ALGORITHMS[name][1]
        path = loss_slice.run(name, study, "position")
        loss = np.column_stack([steps / divide_by, loss_slice.floored(loss_slice.run(name, study, "loss"))])
        grown.append((left.plot(*path.T, color=shade, linewidth=2.0 if name == "flow" else 0.6)[0], path))
        grown.append((right.plot(*loss.T, color=shade, linewidth=0.8)[0], loss))
        heads.append((left.plot(*path[:1].T, "o", color=shade, markeredgecolor="black", zorder=7)[0], path))
    style.log_axis(right)
    style.key(figure, loss_slice.entries(study), "Paths, every one from the same start", columns=3)
    title = left.set_title(" ")
    # Laid out once, with all there will be: panels must not move.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    moving = [title, *(line for line, _ in grown + heads)]
    front = [artist for ax in (left, right) for artist in _from(ax, moving)]
    for artist in front:
        artist.set_animated(True)
    # Contours, axes and legend, which take nearly all the time, are drawn once.
    canvas.draw()
    behind = canvas.copy_from_bbox(figure.bbox)
    for frame in frames(study):
        for line, points in grown:
            line.set_data(*points[: frame + 1].T)
        for line, points in heads:
            line.set_data(*points[frame : frame + 1].T)
        title.set_text(f"step {steps[frame]:,}")
        canvas.restore_region(behind)
        for artist in front:
            artist.draw(canvas.renderer)
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _from(ax: Axes, moving: Sequence[Artist]) -> list[Artist]:
    """What is drawn in a panel from the first of the moving artists on, in that order."""
    drawn = sorted((artist for artist in ax.get_children() if artist is not ax.patch), key=Artist.get_zorder)
    return drawn[min(drawn.index(artist) for artist in moving if artist.axes is ax) :]


def frames(study: xr.Dataset) -> NDArray[np.int64]:
    """Which recorded steps to show: dense at the start and just after the decay, where most happens."""
    last = study.sizes["step"] - 1
    decay = int(np.searchsorted(study["step"].values, int(study["decay_step"])))
    before = decay * np.linspace(0.0, 1.0, BEFORE) ** 3
    after = decay + (last - decay) * np.linspace(0.0, 1.0, AFTER) ** 3
    moving = np.unique(np.concatenate([before, after]).astype(np.int64))
    return np.concatenate([moving, np.full(STILL, last)])


if __name__ == "__main__":
    run(main)
