"""What the seeds of one job take on disk: python benchmarks/disk.py, from the sizes of the networks in config.yaml.

While they train: checkpoints, which hold every snapshot and one state, and at the end the store of the snapshots
beside them. Until their features are there: that store, a temporary file of the workflow. Then a few megabytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench import ROOT

from largestep import config, grid
from largestep.models import networks

# Channels, classes and size of the images, where only the data set itself says them.
SHAPES = {
    "digits": (1, 10, (8, 8)),
    "mnist": (1, 10, (28, 28)),
    "fashion_mnist": (1, 10, (28, 28)),
    "svhn": (3, 10, (32, 32)),
    "cifar10": (3, 10, (32, 32)),
    "cifar100": (3, 100, (32, 32)),
    "tiny_imagenet": (3, 200, (64, 64)),
}
BYTES = 4


def main() -> None:
    """Print a line per experiment on published images: for one job of one of its cells, in megabytes."""
    settings = config.parse(config.read(Path(ROOT / "config.yaml")) | {"scale": "paper"}, source="config.yaml")
    print(f"{'job of':<28}{'parameters':>12}{'seeds':>7}{'while training (MB)':>22}{'until its features (MB)':>26}")
    most = 0.0
    for name, experiment in settings.at_scale().items():
        if not experiment.images:
            continue
        if experiment.data.kind not in SHAPES:
            print(f"{name:<28}  unknown: the shape of a data set of your own")
            continue
        cell = next(cell for cell in grid.cells(settings).values() if cell.experiment == name)
        size = len(networks.flatten(networks.draw(experiment.model, *SHAPES[experiment.data.kind], seed=0)))
        training = experiment.training
        seeds = min(training.seeds, training.seeds_per_job)
        snapshots = seeds * (training.snapshots + 1) * size * BYTES / 1e6
        state = size * BYTES * (2 if training.momentum else 1) / 1e6
        print(f"{cell.experiment:<28}{size:>12,}{seeds:>7}{2 * snapshots + state:>22.0f}{snapshots:>26.0f}")
        most = max(most, 2 * snapshots + state)
    print(f"at most at once, with J jobs: J x {most:.0f} MB, for features come before more is trained")


if __name__ == "__main__":
    sys.exit(main())
