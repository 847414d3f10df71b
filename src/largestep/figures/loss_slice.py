"""Three paths over a slice of the loss: gradient flow, gradient descent and SGD on a diagonal network."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mpl_toolkits.mplot3d import Axes3D
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from largestep.figures import style

NEEDS = ("plane_loss", "mark_position", "sgd_position")
CAPTION = """
*What is plotted.* The training loss of a small diagonal network on the plane through three points: the start, the
end of gradient flow and the truth, u = v = √θ*. Over it run gradient flow, gradient descent and SGD, the last two
with large steps that are divided at the dotted line. Training has {{ 2 * study["data"]["dimension"] }} parameters
and leaves the plane: the picture shows projections, and says how far from the plane the paths end.

- (a) Contours of the loss (darker is larger), the three paths, and where the other seeds of SGD end. (b) The same as
  a surface.
- (c) The training loss. (d) The training loss against the position along the line from the end of gradient flow (0)
  to the truth (1). (e) The distance of the predictor from the truth.

The animation shows (a) and (c) as training goes on.

*What the paper claims.* Along the valley of zero loss, SGD with large steps moves towards the sparse truth; gradient
descent with large steps bounces too, but does not move there, and gradient flow stays where it meets the valley.

*What to look for.* In (d), a path that moves to the right while its loss is still large, and only later falls. In
(e), which of the three comes close to the truth. Seeds of SGD that end in the lower left of (a), or outside it, have
found a mirror image of the truth: u and v may change sign together.
"""
HEIGHT = 5.6
PATHS = ("flow", "gd", "sgd")
# Of the points that span the plane: marker, its size, name, and where that stands beside it in points.
MARKS = {
    "start": ("o", 5.0, "start", (0, 7)),
    "flow_end": ("s", 5.0, "end of\nflow", (19, 5)),
    "truth": ("*", 9.0, "truth", (20, 5)),
}
# Losses below this are drawn as this.
FLOOR = 1e-6
BACKGROUND = "Greys"
# Share of that map in use, so that the paths stand out.
DARKEST = 0.45
CONTOURS = 15
FAINT = 0.35
ELEVATION, AZIMUTH = 45.0, -38.0


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """The slice from above and as a surface, and what happens along the paths."""
    figure = Figure(figsize=(style.TEXT_WIDTH, HEIGHT))
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.45, 1.0])[:, 0]
    above = top.add_subplot(1, 2, 1)
    surface = top.add_subplot(1, 2, 2, projection="3d", computed_zorder=False)
    axes = [above, surface, *bottom.subplots(1, 3)]
    contours(above, study)
    for name in PATHS:
        trace(above, name, study)
    marks(above, study)
    _surface(surface, study)
    _loss(axes[2], study)
    _progress(axes[3], study)
    _error(axes[4], study)
    titles = (
        "loss and paths, projected on the plane",
        "log10 of the loss on the same plane",
        "training loss",
        "loss against the way to the truth",
        "distance from the truth",
    )
    for index, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        style.letter(ax, index, title)
    style.key(figure, entries(study), "Paths, every one from the same start", columns=3)
    style.note(figure, note(study))
    return figure


def entries(study: xr.Dataset) -> list[Line2D]:
    """What the legend lists: every algorithm with its step size and how its runs ended."""
    return [Line2D([], [], color=style.ALGORITHMS[name][1], label=label(name, study)) for name in PATHS]


def label(name: str, study: xr.Dataset) -> str:
    """An algorithm, its step sizes and, for SGD, how many of its runs diverged."""
    title, _ = style.ALGORITHMS[name]
    diverged = study["diverged_step"].sel(path=name).values
    if name == "sgd":
        said = f" ({int((diverged >= 0).sum())} of {diverged.size} runs diverged)"
    else:
        said = f" (diverged at step {diverged[0]})" if diverged[0] >= 0 else ""
    return f"{title}, η = {float(study['step_size'].sel(path=name)):g}{said}"


def note(study: xr.Dataset) -> str:
    """How to read the figure, and where the paths end that it does not show as they are."""
    away = [f"{style.ALGORITHMS[name][0]} {_last_distance(name, study):.2g}" for name in ("gd", "sgd")]
    outside = int(_outside(study).sum())
    return (
        "SGD: its first surviving seed in full colour, the others faint (in a only their ends"
        + (f", of which {outside} outside the frame" if outside else "")
        + "). Dotted: the step size is divided. Smaller losses lie on the bottom of c and d. "
        f"Distance from the plane at the end: {', '.join(away)} (median)."
    )


def run(name: str, study: xr.Dataset, measure: str) -> NDArray[np.float64]:
    """A measure along the path of one run, (step, ...): SGD's is its first surviving seed, or its first."""
    values = study[f"{name}_{measure}"]
    return np.asarray(values.isel(seed=shown_seed(study)).values if name == "sgd" else values.values)


def floored(loss: NDArray[np.float64]) -> NDArray[np.float64]:
    """Losses as they are drawn: what is zero for every purpose of the picture stays on the logarithmic axis."""
    return np.maximum(loss, FLOOR)


def shown_seed(study: xr.Dataset) -> int:
    """The run of SGD that stands for all: the first that does not diverge, or the first if all do."""
    return int(np.argmax(study["diverged_step"].sel(path="sgd").values < 0))


def contours(ax: Axes, study: xr.Dataset) -> None:
    """The loss on the plane, in shades of grey that leave colour to the paths."""
    loss = floored(study["plane_loss"].values)
    levels = np.geomspace(loss.min(), loss.max(), CONTOURS)
    ax.grid(False)
    ax.contourf(
        study["first"].values,
        study["second"].values,
        loss,
        levels=levels,
        norm=LogNorm(levels[0], levels[0] * (levels[-1] / levels[0]) ** (1.0 / DARKEST)),
        cmap=BACKGROUND,
    )
    ax.contour(study["first"].values, study["second"].values, loss, levels=levels, colors="white", linewidths=0.4)
    ax.set(
        aspect="equal",
        xlim=study["first"].values[[0, -1]],
        ylim=study["second"].values[[0, -1]],
        xlabel="towards the end of gradient flow (no unit)",
        ylabel="towards the truth (no unit)",
    )


def trace(ax: Axes, name: str, study: xr.Dataset) -> None:
    """The path of one algorithm, with the other seeds of SGD behind it as their places at the end."""
    shade = style.ALGORITHMS[name][1]
    path = run(name, study, "position")
    ax.plot(*path.T, color=shade, linewidth=2.0 if name == "flow" else 0.4, alpha=0.8, rasterized=True)
    if name == "sgd":
        ends = study["sgd_position"].isel(step=-1).values
        ax.plot(*ends.T, "o", color=shade, markersize=3.0, alpha=FAINT, markeredgewidth=0)
    ax.plot(*path[-1], "o", color=shade, markersize=4.0, markeredgecolor="black", markeredgewidth=0.6, zorder=4)


def marks(ax: Axes, study: xr.Dataset) -> None:
    """The three points that span the plane, with their names."""
    for name, (x, y) in zip(study["mark"].values, study["mark_position"].values, strict=True):
        marker, size, text, beside = MARKS[str(name)]
        ax.plot(x, y, marker, color="white", markeredgecolor="black", markersize=size, markeredgewidth=0.8, zorder=5)
        ax.annotate(text, (x, y), beside, textcoords="offset points", ha="center", va="center", zorder=6)


def _surface(ax: Axes3D, study: xr.Dataset) -> None:
    first, second = study["first"].values, study["second"].values
    height = np.log10(floored(study["plane_loss"].values))
    darkest = height.min() + np.ptp(height) / DARKEST
    ax.plot_surface(
        *np.meshgrid(first, second),
        height,
        cmap=BACKGROUND,
        vmin=height.min(),
        vmax=darkest,
        linewidth=0,
        rcount=len(second),
        ccount=len(first),
        rasterized=True,
    )
    plane = RegularGridInterpolator((second, first), height, bounds_error=False)
    for name in PATHS:
        path = run(name, study, "position")
        ax.plot(*path.T, plane(path[:, ::-1]), color=style.ALGORITHMS[name][1], linewidth=0.6, rasterized=True)
    for name, spot in zip(study["mark"].values, study["mark_position"].values, strict=True):
        marker, size, *_ = MARKS[str(name)]
        ax.plot(*spot, plane(spot[::-1]), marker, color="white", markeredgecolor="black", markersize=size)
    ax.view_init(ELEVATION, AZIMUTH)
    ax.set_box_aspect((1.0, 1.0, 0.6), zoom=1.05)
    ax.set(xlabel="towards flow's end", ylabel="towards the truth")


def _loss(ax: Axes, study: xr.Dataset) -> None:
    _over_time(ax, study, "loss")
    ax.set_ylabel("squared error (no unit)")
    style.log_axis(ax)


def _error(ax: Axes, study: xr.Dataset) -> None:
    _over_time(ax, study, "error")
    ax.set_ylabel("‖u⊙v − θ*‖ (no unit)")
    style.log_axis(ax)


def _over_time(ax: Axes, study: xr.Dataset, measure: str) -> None:
    steps = study["step"].values
    divide_by = style.step_axis(ax, steps)
    for seed in study["seed"].values:
        others = floored(study[f"sgd_{measure}"].sel(seed=seed).values)
        ax.plot(steps / divide_by, others, color=style.ALGORITHMS["sgd"][1], alpha=0.15, linewidth=0.3, rasterized=True)
    for name in PATHS:
        values = floored(run(name, study, measure))
        ax.plot(steps / divide_by, values, color=style.ALGORITHMS[name][1], linewidth=0.7, rasterized=True)
    mark_decay(ax, study)


def mark_decay(ax: Axes, study: xr.Dataset) -> None:
    """A dotted line where the step size is divided, on an axis of `style.step_axis`."""
    divide_by = style.step_axis(ax, study["step"].values)
    ax.axvline(float(study["decay_step"]) / divide_by, color="black", linestyle=":", linewidth=0.8)


def _progress(ax: Axes, study: xr.Dataset) -> None:
    spots = dict(zip(map(str, study["mark"].values), study["mark_position"].values, strict=True))
    way = spots["truth"] - spots["flow_end"]
    for name in PATHS:
        share = (run(name, study, "position") - spots["flow_end"]) @ way / (way @ way)
        loss = floored(run(name, study, "loss"))
        ax.plot(share, loss, color=style.ALGORITHMS[name][1], linewidth=0.4, rasterized=True)
        ax.plot(share[-1], loss[-1], "o", color=style.ALGORITHMS[name][1], markersize=4.0, markeredgecolor="black")
    ax.set_xlabel("0: end of flow, 1: truth (no unit)")
    ax.set_ylabel("squared error (no unit)")
    style.log_axis(ax)


def _last_distance(name: str, study: xr.Dataset) -> float:
    return float(study[f"{name}_distance"].isel(step=-1).median())


def _outside(study: xr.Dataset) -> NDArray[np.bool_]:
    """Which surviving seeds of SGD end beyond the grid of the plane."""
    x, y = study["sgd_position"].isel(step=-1).values.T
    first, second = study["first"].values, study["second"].values
    return (x < first[0]) | (x > first[-1]) | (y < second[0]) | (y > second[-1])
