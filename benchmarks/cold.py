"""Train the runs of a file from a cold start: `bench.py` times this script, imports and compilation included."""

from __future__ import annotations

import sys

import numpy as np
import xarray as xr

from largestep.config.models import DenseNet
from largestep.toys.runs import Problem, Runs


def main() -> None:
    """Read a problem from the first path and write the final parameters to the second."""
    with np.load(sys.argv[1]) as problem:
        data = xr.Dataset(
            {
                "train_inputs": (("data_set", "example", "input"), problem["inputs"]),
                "train_labels": (("data_set", "example"), problem["labels"]),
            }
        )
        model = DenseNet.model_validate_json(str(problem["model"]))
        runs = Runs(Problem(model, data, "mse"), problem["parameters"])
        runs.advance(problem["step_sizes"], problem["indices"])
    np.save(sys.argv[2], runs.parameters)


if __name__ == "__main__":
    main()
