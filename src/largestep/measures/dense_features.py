"""Features of a dense ReLU network: hidden activations, singular values of the Jacobian, its function."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from tqdm import tqdm

from largestep.measures import RUN
from largestep.measures.jacobian import dense_singular_values
from largestep.measures.units import normalised, unit_statistics_of
from largestep.models import dense
from largestep.store import variable

CURVE_POINTS = 200
# Snapshots whose Jacobians are taken at once: enough to keep torch busy, few enough for the memory.
CHECKPOINTS = 33


def features(spec: dict[str, Any], data: xr.Dataset, snapshots: xr.Dataset, threads: int) -> xr.Dataset:
    """Statistics of the hidden units on the training set and singular values of the Jacobian.

    For one-dimensional inputs also the fitted function; for two-dimensional ones the weights of the
    first layer.
    """
    torch.set_num_threads(threads)
    layers = spec["train"]["model"]["layers"]
    parameters = snapshots["parameters"].values
    runs = parameters.shape[:3]
    widths = dense.widths(data.sizes["input"], layers)
    rank_inputs = data["rank_inputs"].values[: parameters.shape[-1]]
    flat = parameters.reshape(-1, parameters.shape[-1])
    batches = tqdm(range(0, len(flat), CHECKPOINTS), desc=spec["cell"], unit="batch", mininterval=2.0, ascii=True)
    per_batch = [dense_singular_values(flat[i : i + CHECKPOINTS], rank_inputs, layers) for i in batches]
    values = np.concatenate(per_batch).reshape(*runs, -1)
    data_sets = np.repeat(snapshots["data_set"].values.ravel(), runs[-1])
    normalise = normalised if spec["measures"]["normalise_activations"] else lambda block: block
    activations = (
        [normalise(block) for block in hidden_activations(each, data["train_inputs"].values[data_set], layers)]
        for each, data_set in zip(flat, data_sets, strict=True)
    )
    found = unit_statistics_of(activations, runs, data.sizes["example"], "hidden layer of the unit")
    found["singular_values"] = variable(
        (*RUN, "singular_value"), values, "1", "singular values of the Jacobian on fresh inputs, largest first"
    )
    if data.sizes["input"] == 1:
        found = found.merge(_fitted_function(parameters, data, layers))
    if data.sizes["input"] == 2:
        first = parameters[..., : 2 * widths[1]].reshape(*runs, widths[1], 2)
        found["first_layer"] = variable((*RUN, "neuron", "input"), first, "1", "weights of the first layer")
    return found


def hidden_activations(
    parameters: np.ndarray[Any, Any], inputs: np.ndarray[Any, Any], layers: dense.Layers
) -> list[np.ndarray[Any, Any]]:
    """ReLU activations of every hidden layer, each of shape (n, units), for flat parameters (p,)."""
    blocks, current, start = [], inputs, 0
    for layer in layers[:-1]:
        rows, columns = layer["units"], current.shape[1]
        weight = parameters[start : start + rows * columns].reshape(rows, columns)
        start += rows * columns
        current = current @ weight.T
        if layer["bias"] is not None:
            current = current + parameters[start : start + rows]
            start += rows
        current = np.maximum(current, 0.0)
        blocks.append(current)
    return blocks


def _fitted_function(parameters: np.ndarray[Any, Any], data: xr.Dataset, layers: dense.Layers) -> xr.Dataset:
    from largestep.dynamics.dense import predict

    x = data["train_inputs"].values
    margin = 0.05 * (x.max() - x.min())
    points = np.linspace(x.min() - margin, x.max() + margin, CURVE_POINTS)
    flat = parameters.reshape(-1, parameters.shape[-1])
    which = np.zeros(len(flat), dtype=np.int64)
    outputs = predict(flat, points[None, :, None], which, dense.widths(1, layers), dense.biased(layers))
    return xr.Dataset(
        {
            "fit": variable(
                (*RUN, "point"), outputs.reshape(*parameters.shape[:3], -1), "1", "output of the network at the point"
            )
        },
        {"point": variable(("point",), points, "1", "input at which the fitted function is recorded")},
    )
