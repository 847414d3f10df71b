"""Train the runs of a file from a cold start: `bench.py` times this script, imports and compilation included."""

from __future__ import annotations

import sys

import numpy as np

from largestep.toys import dense


def main() -> None:
    """Read a problem from the first path and write the final parameters to the second."""
    with np.load(sys.argv[1]) as problem:
        parameters, step_sizes = problem["parameters"], problem["step_sizes"]
        dense.advance(
            parameters,
            np.zeros_like(parameters),
            problem["inputs"],
            problem["labels"],
            np.zeros(len(parameters), dtype=np.int64),
            problem["indices"],
            np.zeros((*problem["indices"].shape[:2], 0)),
            step_sizes,
            2.0,
            0.0,
            0.0,
            0,
            np.full(len(parameters), -1),
            problem["widths"],
            problem["biased"],
        )
    np.save(sys.argv[2], parameters)


if __name__ == "__main__":
    main()
