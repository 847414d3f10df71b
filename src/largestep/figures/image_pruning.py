"""The training loss of image classifiers against the share of units deleted, a panel for every network."""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from largestep.figures import pruning, style

NEEDS = ("rise", "redundant_units", "redundant_rise", "random_rise", "decay_fraction", "units", "diverged_step")
CAPTION = """
*What is plotted.* The rise of the training loss, the cross-entropy of all training images, over the entropy of the
classes, against the share of hidden units that are deleted, those first that the measure of sparsity calls most
redundant; a deleted unit is replaced by the multiple of its twin. A panel for each image classifier, a line for each
schedule: median and middle half over the seeds that survive. Dots: the units redundant at the paper's threshold, and
crosses: as many at random, medians.

*What is claimed.* By nobody: that the units are redundant is what the measure says, and C20 puts it to the test.

*What to look for.* Are dots below the dashed line, a hundredth of the loss of a constant, and crosses well above? Do
the lines of longer large steps, which are darker, cross it further to the right?
"""


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """One panel per network."""
    return pruning.draw(study)
