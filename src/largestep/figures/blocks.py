"""Feature sparsity of every block of an image classifier along training, and the test error beside it."""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from largestep.figures import style
from largestep.figures.curves import note, panels_of, show, sparsity_panels

NEEDS = ("feature_sparsity",)
COLUMNS = 3
ROW_HEIGHT = 1.7


@style.house()
def draw(experiment: xr.Dataset) -> Figure:
    """One panel per block and one for the error, over the seeds of the experiment's first arm."""
    arm = str(experiment["arm"].values[0])
    experiment = experiment.sel(arm=[arm])
    errors = [panel for panel in panels_of(experiment) if panel.title.startswith("test")]
    panels = sparsity_panels(experiment, most=experiment.sizes["block"]) + errors
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(style.TEXT_WIDTH, rows * ROW_HEIGHT + 1.0))
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for index, (ax, panel) in enumerate(zip(axes, panels, strict=False)):
        show(ax, panel, experiment, arm)
        style.letter(ax, index, panel.title)
    for ax in axes[len(panels) :]:
        ax.remove()
    # One scale from 0, so that the blocks can be compared.
    sparsity = axes[: experiment.sizes["block"]]
    highest = max(ax.get_ylim()[1] for ax in sparsity)
    for ax in sparsity:
        ax.set_ylim(0, highest)
    style.legend(figure, experiment, arm)
    style.note(figure, note(experiment), experiment)
    return figure
