"""Features of a dense ReLU network: hidden activations, the Jacobian, the function, how far its weights moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep.measures import RUN, rescaling
from largestep.measures.alignment import alignment
from largestep.measures.column_norms import column_statistics
from largestep.measures.distance import layer_distances, relative_distance
from largestep.measures.jacobian import column_norms
from largestep.measures.kinks import number_of_kinks, slope_changes, slope_variation
from largestep.measures.units import normalised, unit_statistics_of
from largestep.models.flat import layers_of
from largestep.store import variable
from largestep.toys.dense import Net

if TYPE_CHECKING:
    from largestep.config.measures import Activations
    from largestep.config.models import DenseNet

Array = NDArray[np.float64]
CURVE_POINTS = 200
# Snapshots whose Jacobians are in memory at once: few enough that it is not asked for anew each time.
CHECKPOINTS = 4


def features(
    model: DenseNet, measures: Activations, data: xr.Dataset, snapshots: xr.Dataset, *, label: str, threads: int
) -> xr.Dataset:
    """Statistics of the hidden units on the training set and singular values of the Jacobian.

    Also the norms of the columns of the Jacobian on the training inputs and the distance of each layer from its
    init. For one-dimensional inputs also the fitted function and, with one hidden layer, its kinks; for
    two-dimensional ones the weights of the first layer. Where a network with one hidden layer learns from a
    teacher, the alignment of their neurons.
    """
    net = Net(model, data.sizes["input"])
    parameters, data_set = snapshots["parameters"].values, snapshots["data_set"].values
    runs, inputs = parameters.shape[:3], data["train_inputs"].values
    rank_inputs = data["rank_inputs"].values[: parameters.shape[-1]]
    flat = parameters.reshape(-1, parameters.shape[-1])
    batches = tqdm(range(0, len(flat), CHECKPOINTS), desc=label, unit="batch", mininterval=2.0, ascii=True)
    per_batch = [net.singular_values(flat[i : i + CHECKPOINTS], rank_inputs) for i in batches]
    values = np.concatenate(per_batch).reshape(*runs, -1)
    other = rescaling.rescaled(net, snapshots)
    others = other.reshape(-1, other.shape[-1])
    per_batch = [
        net.singular_values(others[i : i + CHECKPOINTS], rank_inputs) for i in range(0, len(others), CHECKPOINTS)
    ]
    values_of_others = np.concatenate(per_batch).reshape(*runs[:2], -1)
    normalise = normalised if measures.normalise_activations else lambda block: block
    activations = (
        [normalise(block) for block in net.activations(each, inputs[which])]
        for each, which in zip(flat, np.repeat(data_set.ravel(), runs[-1]), strict=True)
    )
    dataset = unit_statistics_of(activations, runs, data.sizes["example"], "hidden layer of the unit")
    dataset["singular_values"] = variable(
        (*RUN, "singular_value"), values, "1", "singular values of the Jacobian on fresh inputs, largest first"
    )
    dataset["rescaled_singular_values"] = rescaling.singular_values(values_of_others)
    blocks_of_others = [
        [normalise(block) for block in net.activations(each, inputs[which])]
        for each, which in zip(others, data_set.ravel(), strict=True)
    ]
    dataset = dataset.assign(rescaling.redundancy(blocks_of_others, (runs[0], runs[1])))
    dataset = dataset.merge(column_statistics(column_norms(net, parameters, inputs, data_set)))
    layers = net.layers(parameters)
    dataset = dataset.merge(layer_distances(list(layers), relative_distance(layers.values())))
    first, _ = layers_of(parameters, net.layout)[0]
    if inputs.shape[2] == 1:
        dataset = dataset.merge(_fitted_function(net, parameters, data))
        if len(layers) == 2:
            dataset = dataset.merge(_kinks(net, parameters, inputs))
    if inputs.shape[2] == 2:
        dataset["first_layer"] = variable((*RUN, "neuron", "input"), first, "1", "weights of the first layer")
    if "teacher_neurons" in data and len(layers) == 2:
        teachers = data["teacher_neurons"].values[data_set][:, :, None]
        dataset = dataset.merge(_alignment(first, teachers))
    return dataset


def _fitted_function(net: Net, parameters: Array, data: xr.Dataset) -> xr.Dataset:
    x = data["train_inputs"].values
    margin = 0.05 * (x.max() - x.min())
    points = np.linspace(x.min() - margin, x.max() + margin, CURVE_POINTS)
    flat = parameters.reshape(-1, parameters.shape[-1])
    outputs = net.outputs(flat, points[None, :, None])
    return xr.Dataset(
        {
            "fit": variable(
                (*RUN, "point"), outputs.reshape(*parameters.shape[:3], -1), "1", "output of the network at the point"
            )
        },
        {"point": variable(("point",), points, "1", "input at which the fitted function is recorded")},
    )


def _kinks(net: Net, parameters: Array, inputs: Array) -> xr.Dataset:
    """Kinks between the smallest and the largest training input, of networks with one input and one hidden layer."""
    (first, biases), (output_weights, _) = layers_of(parameters, net.layout)
    weights = first[..., 0]
    biases = np.zeros_like(weights) if biases is None else biases
    places = *slope_changes(weights, biases, output_weights[..., 0, :]), float(inputs.min()), float(inputs.max())
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
