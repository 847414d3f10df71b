"""What changes while the loss is flat: the Jacobian, the function and the weights of every cell along training."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.figures import style
from largestep.figures.curves import Panel, page
from largestep.measures.column_norms import SMALL
from largestep.measures.kinks import APART, VISIBLE

NEEDS = ("distance",)
# Title and units of what is plotted as it is stored; the axis is logarithmic where said.
MEASURES = {
    "jacobian_norm": ("‖Jacobian‖", "Frobenius norm", False),
    "column_norm": ("column of Jacobian", "median l2 norm", True),
    "small_columns": ("short columns", "columns (%)", False),
    "effective_rank": ("effective rank", "singular values (count)", False),
    "off_support_norm": ("off support, norm", "l2 norm of u⊙v", True),
    "off_support_median": ("off support, typical", "median |u⊙v|", True),
    "support_rmse": ("on support", "RMSE of u⊙v", True),
    "kinks": ("kinks of the function", "kinks (count)", False),
    "slope_variation": ("variation of the slope", "∫|f″| dx", True),
    "student_alignment": ("student's neurons", "cosine to teacher", False),
    "teacher_alignment": ("teacher's neurons", "cosine to student", False),
}


@style.house()
def draw(experiment: xr.Dataset) -> Figure:
    """Every such measure that the experiment has, with its spread over seeds."""
    return page(experiment, panels_of(experiment), note(experiment))


def panels_of(experiment: xr.Dataset) -> list[Panel]:
    """The measures to show, as far as the experiment has them, and the distance of each layer from its init."""
    found = [
        _panel(title, units, _curves(experiment, name), logarithmic)
        for name, (title, units, logarithmic) in MEASURES.items()
        if name in experiment
    ]
    distance = experiment["distance"]
    return found + [
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


def _curves(experiment: xr.Dataset, name: str) -> xr.DataArray:
    """A measure as one curve per run."""
    values = experiment[name]
    if name == "column_norm":
        return values.sel(column_quantile=0.5)
    if name == "teacher_alignment":
        return values.mean("teacher_neuron")
    return 100 * values if name == "small_columns" else values


def _panel(title: str, units: str, values: xr.DataArray, logarithmic: bool) -> Panel:
    if logarithmic:
        # Where all runs are at 0, as a predictor is that starts there, a logarithmic axis has nothing to show.
        values = values.where((values > 0).any(["cell", "arm", "seed"]))
    nothing = xr.full_like(values.isel(arm=0, seed=0, snapshot_step=0, drop=True), np.nan)
    return Panel(title, units, values, nothing, logarithmic)
