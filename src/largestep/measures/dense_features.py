"""Features of a dense ReLU network: hidden activations, the Jacobian, the function, how far its weights moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep.measures import RUN
from largestep.measures.alignment import alignment
from largestep.measures.column_norms import column_statistics
from largestep.measures.distance import layer_distances, relative_distance
from largestep.measures.jacobian import dense_jacobian, dense_singular_values
from largestep.measures.kinks import number_of_kinks, slope_changes, slope_variation
from largestep.measures.units import normalised, unit_statistics_of
from largestep.models import dense
from largestep.store import variable

Array = NDArray[np.float64]
CURVE_POINTS = 200
# Snapshots whose Jacobians are taken at once: enough to keep torch busy, few enough for the memory.
CHECKPOINTS = 33


def features(spec: dict[str, Any], data: xr.Dataset, snapshots: xr.Dataset, threads: int) -> xr.Dataset:
    """Statistics of the hidden units on the training set and singular values of the Jacobian.

    Also the norms of the columns of the Jacobian on the training inputs and the distance of each layer from its
    init. For one-dimensional inputs also the fitted function and, with one hidden layer, its kinks; for
    two-dimensional ones the weights of the first layer. Where a network with one hidden layer learns from a
    teacher, the alignment of their neurons.
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
    norms = _column_norms(parameters, data["train_inputs"].values, snapshots["data_set"].values, layers)
    found = found.merge(column_statistics(norms)).merge(_distances(parameters, widths, layers))
    first = parameters[..., : widths[0] * widths[1]].reshape(*runs, widths[1], widths[0])
    if widths[0] == 1:
        found = found.merge(_fitted_function(parameters, data, layers))
        if len(layers) == 2:
            found = found.merge(_kinks(parameters, data["train_inputs"].values, layers))
    if widths[0] == 2:
        found["first_layer"] = variable((*RUN, "neuron", "input"), first, "1", "weights of the first layer")
    if "teacher_neurons" in data and len(layers) == 2:
        teachers = data["teacher_neurons"].values[snapshots["data_set"].values][:, :, None]
        found = found.merge(_alignment(first, teachers))
    return found


def hidden_activations(parameters: Array, inputs: Array, layers: dense.Layers) -> list[Array]:
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


def _fitted_function(parameters: Array, data: xr.Dataset, layers: dense.Layers) -> xr.Dataset:
    from largestep.toys.dense import predict

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


def _column_norms(parameters: Array, inputs: Array, data_set: NDArray[np.int64], layers: dense.Layers) -> Array:
    """Norms of the columns of the Jacobian, each run's on its own training inputs: (arm, seed, snapshot_step, p)."""
    norms = np.full(parameters.shape, np.nan)
    # The runs of a data set together: those of the arm `order` share one.
    for each in np.unique(data_set):
        runs = data_set == each
        finite = runs[..., None] & np.isfinite(parameters).all(axis=-1)
        # A copy, because torch warns of inputs that it may not write to, such as views of one array.
        norms[finite] = np.linalg.norm(dense_jacobian(parameters[finite], inputs[each].copy(), layers), axis=1)
    return norms


def _distances(parameters: Array, widths: NDArray[np.int64], layers: dense.Layers) -> xr.Dataset:
    """Distances of the weights of every layer, its biases left out."""
    weights, start = [], 0
    for rows, columns, layer in zip(widths[1:], widths[:-1], layers, strict=True):
        weights.append(parameters[..., start : start + rows * columns])
        start += rows * columns + (rows if layer["bias"] is not None else 0)
    return layer_distances([f"layer {index}" for index in range(1, len(layers) + 1)], relative_distance(weights))


def _kinks(parameters: Array, inputs: Array, layers: dense.Layers) -> xr.Dataset:
    """Kinks between the smallest and the largest training input, of networks with one input and one hidden layer."""
    units = layers[0]["units"]
    weights, rest = parameters[..., :units], parameters[..., units:]
    biases = rest[..., :units] if layers[0]["bias"] is not None else np.zeros_like(weights)
    output_weights = rest[..., -units:] if layers[1]["bias"] is None else rest[..., -units - 1 : -1]
    places = *slope_changes(weights, biases, output_weights), float(inputs.min()), float(inputs.max())
    return xr.Dataset(
        {
            "kinks": variable(
                RUN, number_of_kinks(*places), "1", "kinks of the fitted function between the training inputs"
            ),
            "slope_variation": variable(
                RUN, slope_variation(*places), "1", "total variation of its slope between the training inputs"
            ),
        }
    )


def _alignment(students: Array, teachers: Array) -> xr.Dataset:
    of_students, of_teachers = alignment(students, teachers)
    return xr.Dataset(
        {
            "student_alignment": variable(
                RUN, of_students, "1", "largest cosine of a neuron to one of the teacher, mean weighted by norm"
            ),
            "teacher_alignment": variable(
                (*RUN, "teacher_neuron"),
                of_teachers,
                "1",
                "largest cosine of the teacher's neuron to a neuron, times that one's norm over the largest norm",
            ),
        }
    )
