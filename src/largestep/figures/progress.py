"""What changes while the loss is flat: the Jacobian, the function and the weights of every cell along training."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep import registered
from largestep.figures import style
from largestep.figures.curves import Panel, page
from largestep.measures.column_norms import SMALL
from largestep.measures.kinks import APART, VISIBLE
from largestep.registered import Suits, measures

NEEDS = ("distance",)
SUITS = Suits()
CAPTION = """
*What is plotted.* What may change while the training loss is flat, along training, for every schedule of the step
size.
{{ arms }}

{{ measures }}
- How far the weights of each layer{% if images %} or part of the network{% endif %} have moved from the init,
  relative to their norm there (for a layer that starts at 0, to that of the whole network).

{% if training["batch_size"] == "full" %}
*What the paper claims.* Without the noise of SGD there is nothing to shrink the columns of the Jacobian, so large
steps alone do not make the predictor vanish off the support.
{% else %}
*What the paper claims.* The loss is flat at a large step size, but the run is not idle.
{% if not images %}
The noise of SGD shrinks the columns of the Jacobian.
{% endif %}
{% if linear %}
The predictor vanishes exponentially off the support, while on it the error stays of the order of the noise.
{% endif %}
{% if data == "points" %}
The function is simplified first and fitted later: its kinks go before the decay.
{% endif %}
{% if data == "teacher_student" and hidden_layers == 1 %}
Neurons turn to those of the teacher; at a small step size they stay near the init.
{% elif data == "teacher_student" or images %}
A small step size leaves the early and middle layers at the init.
{% endif %}
{% endif %}

*What to look for.* Do the coloured curves go on changing up to the dotted line of their colour, where the loss is
flat, and stay where they are after it? Is the curve of the small step size (grey, or that of the shortest phase of
large steps) flat, and nearer to where it started?

{{ bands }} {{ decays }}

{{ peaks }}

{{ annealing }}

{{ lost }}
"""


@style.house()
def draw(experiment: xr.Dataset) -> Figure:
    """Every such measure that the experiment has, with its spread over seeds."""
    return page(experiment, panels_of(experiment), note(experiment))


def panels_of(experiment: xr.Dataset) -> list[Panel]:
    """The measures to show, as far as the experiment has them, and the distance of each layer from its init."""
    shown = {name: each.panel for name, each in measures().items() if each.panel and name in experiment}
    panels = [
        _panel(panel.title, panel.units, _curves(experiment[name], panel), panel.logarithmic)
        for name, panel in shown.items()
    ]
    distance = experiment["distance"]
    return panels + [
        _panel(f"moved: {layer}", "‖W − W₀‖ / ‖W₀‖", distance.sel(layer=layer), logarithmic=False)
        for layer in distance["layer"].values
    ]


def note(experiment: xr.Dataset) -> str:
    """How to read the figure."""
    lines = [style.BAND_NOTE, "Dotted lines: the step size is divided."]
    if "small_columns" in experiment:
        lines.append(f"Short columns: below {SMALL:g} of the run's longest at the start.")
    if "column_norm" in experiment and (experiment["column_norm"].sel(column_quantile=0.5)[..., 1:] == 0).any():
        lines.append("What leaves a panel at its bottom is 0.")
    if "kinks" in experiment:
        lines.append(f"Kinks: above {VISIBLE:g} of the largest; those within {APART:g} of the range count as one.")
    if "teacher_alignment" in experiment:
        lines.append("Cosines are weighted by the norms of the student's neurons.")
    return " ".join(lines)


def _curves(values: xr.DataArray, panel: registered.Panel) -> xr.DataArray:
    """A measure as one curve per run."""
    values = values.sel(panel.at)
    if panel.over is not None:
        values = values.mean(panel.over)
    return 100 * values if panel.percent else values


def _panel(title: str, units: str, values: xr.DataArray, logarithmic: bool) -> Panel:
    if logarithmic:
        # Where all runs are at 0, as a predictor is that starts there, a logarithmic axis has nothing to show.
        values = values.where((values > 0).any(["cell", "arm", "seed"]))
    nothing = xr.full_like(values.isel(arm=0, seed=0, snapshot_step=0, drop=True), np.nan)
    return Panel(title, units, values, nothing, logarithmic)
