"""How far the weights of each layer have moved from where the run started (paper, section 4)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep.measures import RUN
from largestep.registered import Measure
from largestep.store import variable

# The view `progress` has a panel for each layer.
MEASURES = {"distance": Measure(panel=None, row=None)}


def relative_distance(weights: Iterable[NDArray[np.floating]]) -> NDArray[np.float64]:
    """||W - W0|| / ||W0|| of every layer, W0 being the first snapshot.

    weights: for each layer, in order, its weights of shape (..., snapshots, size). Returns (..., snapshots, layers).
    A layer that starts at zero has no norm to compare with: its distance is divided by that of the whole network at
    the start.
    """
    moved, start = [], []
    for layer in weights:
        values = layer.astype(np.float64)
        moved.append(np.linalg.norm(values - values[..., :1, :], axis=-1))
        start.append(np.linalg.norm(values[..., :1, :], axis=-1))
    return relative(np.stack(moved, axis=-1), np.stack(start, axis=-1))


def relative(distances: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances over the norms at the start, both (..., layers); as `relative_distance` where a norm is 0."""
    whole = np.linalg.norm(lengths, axis=-1, keepdims=True)
    return np.asarray(distances / np.where(lengths == 0, whole, lengths))


def layer_distances(layers: list[str], values: NDArray[np.float64]) -> xr.Dataset:
    """`relative_distance` as the features stage stores it, of shape (arm, seed, snapshot_step, layer)."""
    long_name = "distance of the layer's weights from their init, relative to their norm there"
    return xr.Dataset(
        {"distance": variable((*RUN, "layer"), values, "1", long_name)},
        {"layer": variable(("layer",), layers, "1", "layer of the network, from the input on")},
    )
