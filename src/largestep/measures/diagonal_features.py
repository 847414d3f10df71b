"""Features of a diagonal linear network: its predictor u * v and the singular values of its Jacobian."""

from __future__ import annotations

from typing import Any

import torch
import xarray as xr

from largestep.dynamics.diagonal import predictor
from largestep.measures import RUN
from largestep.measures.jacobian import diagonal_singular_values
from largestep.store import variable


def features(spec: dict[str, Any], data: xr.Dataset, snapshots: xr.Dataset, threads: int) -> xr.Dataset:
    """Predictor (arm, seed, snapshot_step, input) and singular values (..., singular_value)."""
    torch.set_num_threads(threads)
    parameters = snapshots["parameters"].values
    values = diagonal_singular_values(parameters, data["rank_inputs"].values)
    return xr.Dataset(
        {
            "predictor": variable((*RUN, "input"), predictor(parameters), "1", "linear predictor u * v"),
            "singular_values": variable(
                (*RUN, "singular_value"), values, "1", "singular values of the Jacobian on fresh inputs, largest first"
            ),
        }
    )
