"""The one-dimensional model of Proposition 2.2: where runs end, how they get there, and what is stated of them."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from largestep.figures import style
from largestep.measures.bouncing import HIGHEST_ITERATE, HIGHEST_LOSS, INTERVAL, LOWEST_ITERATE, gap, inside

NEEDS = ("attractor", "noisy_attractor", "trajectory", "bouncing", "lowest_tail_loss")
CAPTION = """
*What is plotted.* The model h(x) = x θ² on labels x θ*², trained by SGD; all that counts is γ = η θ*² x². Green is
what Proposition 2.2 is about: the interval of γ (a), the ranges of the iterates (b), and the ranges of γ inside the
interval (c, d).

- (a) The last iterates of a run against γ: blue with the same γ at all updates, orange with noise around it.
- (b) Runs from three starts under the same noise. After some updates they coincide, but for their parity.
- (c) F = ¼ E (y − x θ²)² for γ uniform over a range: from the smallest value to the largest over all seeds and
  starts, at any update (thin) and in the last ones (thick), and the mean over these of the median run (circle).
  Green marks are the stated bounds, ε0² and 0.17. They fit the dimension of F in units of θ*²/η, which are those of
  the axis.
- (d) Shares of runs and of updates, a mark for each seed of the noise. Where γ may be 1 or less there is no ε0, and
  the stated ranges are taken with 0.

*What the paper claims.* Inside the interval, the iterates end up alternating between a range below θ* and one above,
and F stays between the two bounds: the loss stabilises and neither vanishes nor explodes.

*What to look for.* In the green rows of (c), do the thick bars lie between the marks, and the thin ones too? If only
the thick ones do, the bounds hold after a while and not from any start. In (d), do runs alternate in the green rows
only? Where they alternate above them too, while F vanishes in (c), alternation alone does not tell a stabilised
loss.
"""
SIZE = (style.TEXT_WIDTH, 6.0)
NOISY, PLAIN, STATED = "#E69F00", "#0072B2", "#009E73"
SHADES = ("#0072B2", "#D55E00", "#CC79A7")
# Losses below this are drawn at the edge: they are rounding.
EDGE = 1e-12
SHARES = {
    "alternation": ("last updates that change sides of θ*", "^", "#CC79A7", -0.3),
    "alternating": ("runs all of whose last updates do", "o", "#0072B2", -0.1),
    "bouncing": ("… within the stated ranges", "D", "#009E73", 0.1),
    "under_upper_bound": ("runs with F < 0.17 at every update", "s", "#D55E00", 0.3),
}
# Empty rows above the first, in which the legend stands.
LEGEND_ROWS = 2.4


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """Attractors and example runs above; the loss and the shares of runs by range of gamma below."""
    figure = Figure(figsize=SIZE)
    axes = figure.subplots(2, 2)
    ends(axes[0, 0], study)
    examples(axes[0, 1], study)
    losses(axes[1, 0], study)
    shares(axes[1, 1], study)
    style.note(figure, note(study))
    return figure


def note(study: xr.Dataset) -> str:
    """How to read the figure."""
    runs = study.sizes["seed"] * study.attrs["starts"]
    lost = [
        f"{round(float(share) * runs)} of {runs} for {name}"
        for name, share in zip(study["range"].values, study["left"].mean("seed").values, strict=True)
        if share > 0
    ]
    gone = study["gamma"].values[np.isnan(study["attractor"].values).any(axis=1)]
    edge = f"a: with one γ, runs leave θ > 0 from {gone.min():.3g} on. " if len(gone) else ""
    starts, steps, tail = (study.attrs[key] for key in ("starts", "steps", "tail"))
    return (
        f"{edge}c, d: {study.sizes['seed']} seeds of noise × {starts} starts × {steps} updates, of which the last are "
        f"{tail}. F below {EDGE:g} is drawn at the edge. Runs that left θ > 0, which c leaves out and d counts as "
        f"failing: {', '.join(lost) or 'none'}."
    )


def ends(ax: Axes, study: xr.Dataset) -> None:
    """The iterates that runs end in, against gamma: without noise, over those with it."""
    gammas = np.repeat(study["gamma"].values, study.sizes["iterate"])
    ax.axvspan(*INTERVAL, color=style.tint(STATED, 0.18), linewidth=0)
    for name, shade in (("noisy_attractor", NOISY), ("attractor", PLAIN)):
        values = study[name].values.ravel()
        ax.plot(gammas, values, ".", markersize=1.0, color=shade, markeredgewidth=0, rasterized=True)
    handles: list[Artist] = [
        Line2D([], [], color=shade, marker="o", markersize=3, linestyle="", label=label)
        for shade, label in ((PLAIN, "one γ"), (NOISY, "noise around it"))
    ]
    handles.append(Patch(color=style.tint(STATED, 0.18), label="interval of Prop. 2.2"))
    ax.legend(handles=handles, loc="upper left")
    ax.set_xlim(gammas[0], gammas[-1])
    ax.set_ylim(0, 1.95)
    ax.set_xlabel("γ = η θ*² x² (no unit)")
    ax.set_ylabel("last iterates (θ*)")
    style.letter(ax, 0, "where runs end")


def examples(ax: Axes, study: xr.Dataset) -> None:
    """Runs in the widest range inside the interval, and where they are stated to end up."""
    ranges = study["gamma_range"].values
    index = int(np.argmax(np.where(inside(ranges), ranges[:, 1] - ranges[:, 0], -np.inf)))
    distance = float(gap(ranges[index, 0]))
    for low, high in ((LOWEST_ITERATE, 1 - distance), (1 + distance, HIGHEST_ITERATE)):
        ax.axhspan(low, high, color=style.tint(STATED, 0.18), linewidth=0)
    for start, shade in zip(study["shown_start"].values, SHADES, strict=True):
        run = study["trajectory"].isel(range=index).sel(shown_start=start).values
        ax.plot(study["step"].values, run, "o-", markersize=1.8, linewidth=0.7, color=shade, label=f"{start:g} θ*")
    ax.legend(title="start", ncols=len(SHADES), loc="lower right", facecolor="white", frameon=True, edgecolor="none")
    ax.set_xlim(0, study["step"].values[-1])
    ax.set_ylim(0, 1.25)
    ax.set_xlabel("update")
    ax.set_ylabel("iterate (θ*)")
    style.letter(ax, 1, f"runs for γ {study['range'].values[index]}")


def losses(ax: Axes, study: xr.Dataset) -> None:
    """F along the whole run and in the last updates, with the bounds of the ranges that have some."""
    ranges = study["gamma_range"].values
    for place in range(len(ranges)):
        runs = study.isel(range=place)
        for low, high, width, shade in (
            ("lowest_loss", "highest_loss", 1.0, style.CONSTANT),
            ("lowest_tail_loss", "highest_tail_loss", 4.0, PLAIN),
        ):
            span = np.maximum([runs[low].min(), runs[high].max()], EDGE)
            ax.plot(span, [place, place], color=shade, linewidth=width, solid_capstyle="butt")
        ax.plot(
            max(float(runs["typical_tail_loss"].median()), EDGE),
            place,
            "o",
            markersize=3.5,
            color="white",
            markeredgecolor="black",
            markeredgewidth=0.6,
            clip_on=False,
            zorder=4,
        )
        if inside(ranges[place]):
            for bound in (float(runs["gap"]) ** 2, HIGHEST_LOSS):
                ax.plot(bound, place, "|", markersize=11, markeredgewidth=1.6, color=STATED, zorder=5)
    handles = [
        Line2D([], [], color=style.CONSTANT, linewidth=1.0, label="every update"),
        Line2D([], [], color=PLAIN, linewidth=4.0, label="last updates"),
        Line2D(
            [], [], color=STATED, marker="|", markersize=9, markeredgewidth=1.6, linestyle="", label="bounds ε0², 0.17"
        ),
    ]
    ax.legend(handles=handles, loc="upper left")
    ax.set_xscale("log")
    ax.set_xlim(EDGE, 2.0)
    ax.set_xlabel("F (θ*²/η)")
    _rows(ax, study)
    style.letter(ax, 2, "range of F; circle: median run")


def shares(ax: Axes, study: xr.Dataset) -> None:
    """The shares of runs that do what is stated, a mark for each seed."""
    for name, (label, marker, shade, offset) in SHARES.items():
        values = 100 * study[name].transpose("range", "seed").values
        places = np.repeat(np.arange(len(values)) + offset, values.shape[1])
        ax.plot(
            values.ravel(),
            places,
            marker,
            markersize=3,
            color=shade,
            markeredgewidth=0,
            alpha=0.6,
            label=label,
            clip_on=False,
            linestyle="",
        )
    ax.legend(loc="upper left")
    ax.set_xlim(0, 100)
    ax.set_xlabel("share (%)")
    _rows(ax, study)
    style.letter(ax, 3, "what is stated, seed by seed")


def _rows(ax: Axes, study: xr.Dataset) -> None:
    """A row for each range of gamma, those inside the interval shaded."""
    for place, stated in enumerate(inside(study["gamma_range"].values)):
        if stated:
            ax.axhspan(place - 0.5, place + 0.5, color=style.tint(STATED, 0.18), linewidth=0)
    ax.set_yticks(range(study.sizes["range"]), study["range"].values)
    ax.set_ylim(study.sizes["range"] - 0.5, -0.5 - LEGEND_ROWS)
    ax.set_ylabel("range of γ (no unit)")
