"""What the precision of the arithmetic decides: python benchmarks/precision.py [SEEDS] [--cell C], runs on digits.

First the errors of one gradient of a ResNet, that of `GRADIENTS`, in each precision (gradients.py). Then the cell,
trained in float32 and with bfloat16's autocast, the same seeds: if none is given that of the dense network whose
large-step phase is the longest. A measure agrees when the whole 95% interval of its paired difference lies within
`MARGIN`, and differs when the interval leaves out 0; else the seeds are too few to tell, and the row says how many
would be enough, by their scatter. Runs of digits.decay50, the most chaotic on digits, take a hundred times as long; a
narrower ResNet or fewer epochs help where a processor has no instructions for bfloat16.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import gradients
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from largestep import config, devices, grid
from largestep.data import digits
from largestep.data.image_set import ImageSet, part
from largestep.images import trainer
from largestep.images.checkpoints import Checkpoints
from largestep.machine import processor
from largestep.measures import image_features
from largestep.measures.unit_tensors import unit_statistics
from largestep.measures.units import feature_sparsity
from largestep.models import networks
from largestep.specs.cells import ImageTrainSpec

ROOT = Path(__file__).parents[1]
CELL, SEEDS = "digits_mlp.decay90", 48
# The cell whose network the gradients are of.
GRADIENTS = "digits.decay50"
# Percentage points: about twice what one draw of 1,000 units scatters by, which the paper's values carry anyway.
MARGIN = 2.0
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Runs:
    """A cell of config.yaml, with another width or number of epochs where one is given."""

    cell: str
    width: int | None = None
    epochs: int | None = None

    def called(self) -> str:
        """Its name and what is changed."""
        changes = {"width": self.width, "epochs": self.epochs}
        return ", ".join([self.cell, *(f"{key} {value}" for key, value in changes.items() if value)])


def main() -> int:
    """Print a row for each measure; 1 where one differs or cannot be told."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("seeds", nargs="?", type=int, default=SEEDS)
    arguments.add_argument("--cell", default=CELL, help="of an experiment on digits of config.yaml")
    arguments.add_argument("--width", type=int, help="of a ResNet, in place of config.yaml's")
    arguments.add_argument("--epochs", type=int, help="in place of config.yaml's")
    options = arguments.parse_args()
    seeds, runs = options.seeds, Runs(options.cell, options.width, options.epochs)
    print(f"{processor()}, 1 thread for each precision; torch {torch.__version__}; {seeds} seeds")
    devices.prepare(1)
    spec, data = classifier(Runs(GRADIENTS, options.width))
    print(gradients.table(spec.model, data), flush=True)
    print(f"{runs.called():<28}{'float32':>18}{'bfloat16':>18}{'difference [95% interval]':>34}")
    # Spawned, as threads of torch do not survive a fork.
    with ProcessPoolExecutor(len(PRECISIONS), mp_context=get_context("spawn")) as pool:
        by_precision = dict(zip(PRECISIONS, pool.map(_measured, PRECISIONS, [seeds] * 2, [runs] * 2), strict=True))
    rows = {name: compared(*(by_precision[each][name] for each in PRECISIONS)) for name in by_precision["float32"]}
    for name, (shown, _) in rows.items():
        print(f"{name:<28}{shown}")
    return 0 if all(said == "agree" for _, said in rows.values()) else 1


def compared(exact: NDArray[np.float64], rounded: NDArray[np.float64]) -> tuple[str, str]:
    """A measure of the same seeds in both precisions, (seeds,) each, in a line; and what their difference tells."""
    difference = rounded - exact
    half = stats.t.ppf(0.975, len(difference) - 1) * stats.sem(difference)
    low, high = difference.mean() - half, difference.mean() + half
    said = verdict(low, high, len(difference))
    sides = "".join(f"{f'{side.mean():.2f} +- {side.std(ddof=1):.2f}':>18}" for side in (exact, rounded))
    interval = f"{difference.mean():+.2f} [{low:+.2f}, {high:+.2f}]"
    return f"{sides}{interval:>34}  {said}", said


def verdict(low: float, high: float, seeds: int) -> str:
    """What an interval of the paired difference over so many seeds tells.

    Where it cannot tell: with how many seeds it would say "agree" in nine of ten cases, were there no difference.
    """
    if low >= -MARGIN and high <= MARGIN:
        return "agree"
    if low > 0 or high < 0:
        return "DIFFER"
    error = (high - low) / 2 / stats.t.ppf(0.975, seeds - 1)
    # Its end of the interval is to lie within the margin on either side, in 95% of cases each.
    enough = np.ceil(seeds * (error * (stats.norm.ppf(0.975) + stats.norm.ppf(0.95)) / MARGIN) ** 2)
    # That is of many seeds; so few as were not enough are not.
    enough = max(enough, seeds + 1)
    return f"cannot tell: about {enough:.0f} seeds would"


def classifier(runs: Runs) -> tuple[ImageTrainSpec, ImageSet]:
    """The settings of the runs, and their images."""
    settings = config.parse(config.read(ROOT / "config.yaml") | {"scale": "workstation"}, "config.yaml")
    spec = ImageTrainSpec.read(grid.cells(settings)[runs.cell].spec("train"))
    model = spec.model.model_copy(update={"width": runs.width} if runs.width else {})
    training = spec.training.model_copy(update={"epochs": runs.epochs} if runs.epochs else {})
    images = part(digits.prepare(spec.data.data, Path(), None), spec.data.data)
    return spec.model_copy(update={"model": model, "training": training}), images


def _measured(precision: str, seeds: int, runs: Runs) -> dict[str, NDArray[np.float64]]:
    """Test error and the sparsity of every block at the end of training, in percent, of shape (seeds,)."""
    devices.prepare(1)
    spec, data = classifier(runs)
    changed = {"precision": precision, "seeds": seeds, "evaluations": 2, "snapshots": 2}
    spec = spec.model_copy(update={"training": spec.training.model_copy(update=changed)})
    with tempfile.TemporaryDirectory() as folder:
        trained = trainer.train(spec, data, torch.device("cpu"), Checkpoints(Path(folder), "key"))
        ends = list(trained.streamed["parameters"].slabs())[2::3]
    measures = {"test error (%)": trained.losses["test_error"].values[0, :, -1]}
    net = networks.draw(spec.model, data.channels, data.classes, data.size, seed=0).eval()
    units = image_features.sampled_units(net, data.train_images, 1000)
    sparsity = []
    for flat in ends:
        networks.load(net, flat)
        blocks, _ = image_features.activations(net, data.train_images, data, units, normalise=False)
        sparsity.append([100 * float(feature_sparsity(*unit_statistics(b)[:2], len(b), 0.95)) for b in blocks])
    for block, values in enumerate(np.transpose(sparsity), start=1):
        measures[f"sparsity of block {block} (%)"] = values
    return measures


if __name__ == "__main__":
    sys.exit(main())
