"""Features of a network that is linear in its inputs: its predictor, its error by coordinate, and its Jacobian."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from largestep.measures import RUN, rescaling
from largestep.measures.column_norms import column_statistics
from largestep.measures.distance import layer_distances, relative_distance
from largestep.measures.jacobian import column_norms
from largestep.measures.support import off_support_median, off_support_norm, support_rmse
from largestep.store import variable
from largestep.toys.network import Rescalable, linear, network

if TYPE_CHECKING:
    from largestep.config.measures import Activations
    from largestep.config.models import ToyNet


def features(
    model: ToyNet, measures: Activations, data: xr.Dataset, snapshots: xr.Dataset, *, label: str, threads: int
) -> xr.Dataset:
    """Predictor (arm, seed, snapshot_step, input) and singular values (..., singular_value).

    Also the norms of the columns of the Jacobian, the predictor on and off the support of the truth, and the
    distances of the layers from the init.
    """
    parameters = snapshots["parameters"].values
    data_set = snapshots["data_set"].values
    net = network(model, data.sizes["input"])
    beta = linear(net).predictor(parameters)
    truth = data["truth"].values[data_set][:, :, None]
    norms = column_norms(net, parameters, data["train_inputs"].values, data_set)
    values = net.singular_values(parameters, data["rank_inputs"].values)
    dataset = xr.Dataset(
        {
            "predictor": variable((*RUN, "input"), beta, "1", "linear predictor u * v"),
            "singular_values": variable(
                (*RUN, "singular_value"), values, "1", "singular values of the Jacobian on fresh inputs, largest first"
            ),
            "off_support_norm": variable(
                RUN, off_support_norm(beta, truth), "1", "l2 norm of the predictor off the support of the truth"
            ),
            "off_support_median": variable(
                RUN, off_support_median(beta, truth), "1", "median size of the predictor off the support of the truth"
            ),
            "support_rmse": variable(
                RUN, support_rmse(beta, truth), "1", "root mean square error of the predictor on the truth's support"
            ),
        }
    )
    if isinstance(net, Rescalable):
        others = net.singular_values(rescaling.rescaled(net, snapshots), data["rank_inputs"].values)
        dataset["rescaled_singular_values"] = rescaling.singular_values(others)
    layers = net.layers(parameters)
    moved = layer_distances(list(layers), relative_distance(layers.values()))
    return dataset.merge(column_statistics(norms)).merge(moved)
