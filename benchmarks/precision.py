"""Whether test error and sparsity depend on the precision: python benchmarks/precision.py [SEEDS], a run on digits.

The longest large-step phase of config.yaml's digits, the most chaotic of its cells, trained in float32 and with
bfloat16's autocast, the same seeds. A measure agrees when the whole 95% interval of its paired difference lies within
`MARGIN`, and differs when the interval leaves out 0; else the seeds are too few to tell, and the row says how many
would be enough, by their scatter.
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from bench import ROOT, processor
from scipy import stats

from largestep import config, devices, grid
from largestep.data import digits
from largestep.data.image_set import part
from largestep.images import trainer
from largestep.images.checkpoints import Checkpoints
from largestep.measures import image_features
from largestep.measures.unit_tensors import unit_statistics
from largestep.measures.units import feature_sparsity
from largestep.models import networks
from largestep.specs.cells import ImageTrainSpec

CELL, SEEDS = "digits.decay50", 48
# Percentage points: about twice what one draw of 1,000 units scatters by, which the paper's values carry anyway.
MARGIN = 2.0
PRECISIONS = ("float32", "bfloat16")


def main() -> int:
    """Print a row for each measure; 1 where one differs or cannot be told."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    print(f"{processor()}, 1 thread for each precision; torch {torch.__version__}; {seeds} seeds")
    print(f"{CELL:<28}{'float32':>18}{'bfloat16':>18}{'difference [95% interval]':>34}")
    # Spawned, as threads of torch do not survive a fork.
    with ProcessPoolExecutor(len(PRECISIONS), mp_context=get_context("spawn")) as pool:
        by_precision = dict(zip(PRECISIONS, pool.map(_measured, PRECISIONS, [seeds] * 2), strict=True))
    agree = True
    for name in by_precision["float32"]:
        exact, rounded = (by_precision[precision][name] for precision in PRECISIONS)
        difference = rounded - exact
        half = stats.t.ppf(0.975, len(difference) - 1) * stats.sem(difference)
        low, high = difference.mean() - half, difference.mean() + half
        found_out = verdict(low, high, len(difference))
        agree = agree and found_out == "agree"
        sides = "".join(f"{f'{side.mean():.2f} +- {side.std(ddof=1):.2f}':>18}" for side in (exact, rounded))
        interval = f"{difference.mean():+.2f} [{low:+.2f}, {high:+.2f}]"
        print(f"{name:<28}{sides}{interval:>34}  {found_out}")
    return 0 if agree else 1


def verdict(low: float, high: float, seeds: int) -> str:
    """What an interval of the paired difference over so many seeds tells."""
    if low >= -MARGIN and high <= MARGIN:
        return "agree"
    if low > 0 or high < 0:
        return "DIFFER"
    # The width falls with the root of the number of seeds; for a true difference of 0.
    return f"cannot tell: about {np.ceil(seeds * ((high - low) / 2 / MARGIN) ** 2):.0f} seeds would"


def _measured(precision: str, seeds: int) -> dict[str, np.ndarray]:
    """Test error and the sparsity of every block at the end of training, in percent, of shape (seeds,)."""
    devices.prepare(1)
    settings = config.parse(config.read(ROOT / "config.yaml") | {"scale": "workstation"}, "config.yaml")
    spec = ImageTrainSpec.read(grid.cells(settings)[CELL].spec("train"))
    data = part(digits.prepare(spec.data.data, Path(), None), spec.data.data)
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
