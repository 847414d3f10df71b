"""Speed of the image trainer on one GPU: python benchmarks/bench_gpu.py, in less than four minutes.

ResNet-18 of width 64, batch 256, 50,000 images of 32x32, bfloat16; goals are those for one H100. Every row is a process
of its own with a time limit, and is printed as it ends, so that a card that hangs costs one row. Training is timed over
10 epochs of a hundred. The row of a run with measures adds, to a hundred epochs, evaluations and features at 98 steps.
TF32, in which features would be faster, is not used: its rows say what it would change in them.
With --tiny it runs on the CPU, at a size at which the figures mean nothing: that shows that all rows come.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from bench import processor

from largestep import devices
from largestep.config.cells import StepSizes
from largestep.config.data import PublishedImages
from largestep.config.models import ResNet
from largestep.config.training import Augmentation, ImageTraining
from largestep.data.image_set import ImageSet, from_arrays
from largestep.images import trainer
from largestep.images.batches import Batches
from largestep.images.checkpoints import Checkpoints
from largestep.images.step import Stepper
from largestep.measures import image_features
from largestep.measures.unit_tensors import feature_effective_rank, unit_statistics
from largestep.measures.units import feature_sparsity
from largestep.models import networks
from largestep.specs.cells import DataSpec, ImageTrainSpec

STEP_SIZE, EPOCHS, RECORDED, JOBS = 0.1, 100, 98, 4
# Seconds that every row may take beside its own limit: a process has to start.
START_S = 15


@dataclass(frozen=True)
class Size:
    """What is trained."""

    width: int
    narrow: int
    images: int
    tested: int
    probed: int
    batch: int
    epochs: int


FULL = Size(width=64, narrow=16, images=50_000, tested=10_000, probed=10_752, batch=256, epochs=10)
TINY = Size(width=4, narrow=2, images=64, tested=32, probed=32, batch=16, epochs=2)


@dataclass(frozen=True)
class Row:
    """What is measured: unit, goal (at most), seconds that it may take."""

    what: str
    unit: str
    goal: float | None
    limit_s: float
    measure: Callable[[Size, torch.device], float]


def compiled(size: Size, where: torch.device) -> float:
    """Seconds to compile and capture the step of the first job."""
    start = time.perf_counter()
    _stepper(size, where)
    return time.perf_counter() - start


def step(size: Size, where: torch.device) -> float:
    """Milliseconds of a step."""
    return 1e3 * _epoch(size, where, size.width) / (size.images // size.batch)


def training(size: Size, where: torch.device) -> float:
    """Seconds of a hundred epochs, from some of them, with the drawing of each."""
    return EPOCHS * _epoch(size, where, size.width)


def narrow(size: Size, where: torch.device) -> float:
    """Four jobs of a narrow network at once on the card, over one: how many times as long each takes."""
    alone = _epochs_of_jobs(size, where, 1)
    return max(_epochs_of_jobs(size, where, JOBS)) / alone[0]


def evaluation(size: Size, where: torch.device) -> float:
    """Seconds of an evaluation on the test set."""
    one, pictures = _stepper(size, where), _pictures(size)
    about, kept = one_training(size), Checkpoints(Path(), "key")
    run = trainer._Run("run0", 0, about, np.zeros(1), pictures, one._batches, where, kept)
    return _least(lambda: run._tested(one), where)


def features(size: Size, where: torch.device) -> float:
    """Seconds of what the features of one snapshot take."""
    return _least(_measured(size, where), where)


def with_measures(size: Size, where: torch.device) -> float:
    """Seconds of a run with evaluations and features at 98 steps: their parts, one after the other."""
    records = RECORDED + 1
    with tempfile.TemporaryDirectory() as folder:
        data = DataSpec(data=PublishedImages(kind="cifar10"), draws=0)
        shorter = one_training(size).model_copy(update={"epochs": size.epochs, "evaluations": 9, "snapshots": 9})
        spec = ImageTrainSpec(
            cell="bench", data=data, model=_model(size.width), training=shorter, schedule=StepSizes(step_size=STEP_SIZE)
        )
        pictures = _pictures(size)

        def run(name: str) -> float:
            start = time.perf_counter()
            trainer.train(spec, pictures, where, Checkpoints(Path(folder) / name, "key"))
            return time.perf_counter() - start

        # The first compiles.
        run("cold")
        taken = run("warm")
    # Ten epochs hold ten records; what a hundred epochs do not record is training alone.
    epoch = _epoch(size, where, size.width)
    per_record = max(0.0, taken - size.epochs * epoch) / 10
    return EPOCHS * epoch + records * (per_record + features(size, where))


def tf32_sparsity(size: Size, where: torch.device) -> float:
    """Largest change of a block's feature sparsity, in percentage points, if convolutions were rounded to TF32."""
    return 100 * float(np.abs(np.subtract(*_with_and_without_tf32(size, where, _sparsity))).max())


def tf32_rank(size: Size, where: torch.device) -> float:
    """Largest change of a block's effective rank, in percent."""
    exact, rounded = _with_and_without_tf32(size, where, lambda block: float(feature_effective_rank(block)))
    return 100 * float(np.abs(np.array(rounded) / np.array(exact) - 1).max())


ROWS = {
    "compiled": Row("compile and capture, first job", "s", 30.0, 60, compiled),
    "step": Row("a captured step", "ms", 3.8, 40, step),
    "training": Row(f"training, {EPOCHS} epochs", "s", 75.0, 40, training),
    "evaluation": Row("evaluation of the test set", "s", 0.06, 30, evaluation),
    "features": Row("features of one snapshot", "s", 0.15, 30, features),
    "with_measures": Row("training with measures at 98 steps", "s", 110.0, 60, with_measures),
    "narrow": Row("width 16: four jobs on a card, over one", "x", 2.0, 60, narrow),
    "tf32_sparsity": Row("TF32 would change sparsity by", "points", None, 20, tf32_sparsity),
    "tf32_rank": Row("TF32 would change effective rank by", "%", None, 20, tf32_rank),
}


def main() -> int:
    """Print every row as it ends; 1 where one failed or took too long."""
    arguments = argparse.ArgumentParser(prog="bench_gpu.py", description=__doc__)
    arguments.add_argument("--tiny", action="store_true", help="on the CPU, to see that it runs")
    arguments.add_argument("--row", choices=ROWS, help="measure this alone and print a number")
    options = arguments.parse_args()
    if not options.tiny and not torch.cuda.is_available():
        sys.exit("error: torch sees no GPU here; --tiny runs on the CPU")
    size, where = (TINY, torch.device("cpu")) if options.tiny else (FULL, torch.device("cuda"))
    if options.row:
        devices.prepare(1)
        print(json.dumps(ROWS[options.row].measure(size, where)))
        return 0
    print(f"{devices.describe(where)}; Python {platform.python_version()}, torch {torch.__version__}; {processor()}")
    rows = [_print(name, row, options.tiny) for name, row in ROWS.items()]
    return 0 if all(rows) else 1


def _print(name: str, row: Row, tiny: bool) -> bool:
    """Measure in a process of its own; whether there is a figure."""
    command = [sys.executable, __file__, "--row", name, *(["--tiny"] if tiny else [])]
    goal = "" if row.goal is None else f"{row.goal:>9g} {row.unit}"
    try:
        limit = row.limit_s + START_S
        done = subprocess.run(command, capture_output=True, text=True, timeout=None if tiny else limit)
        value = float(json.loads(done.stdout.splitlines()[-1]))
    except subprocess.TimeoutExpired:
        print(f"{row.what:<42}not done within {limit:g} s", flush=True)
        return False
    except (IndexError, ValueError):
        print(f"{row.what:<42}failed: {' '.join(done.stderr.splitlines()[-1:])}", flush=True)
        return False
    verdict = "" if row.goal is None or tiny else "  ok" if value <= row.goal else "  short"
    print(f"{row.what:<42}{value:>10.3f} {row.unit:<7}{goal}{verdict}", flush=True)
    return True


def one_training(size: Size) -> ImageTraining:
    """The settings of the paper's run."""
    return ImageTraining(
        epochs=size.epochs,
        batch_size=size.batch,
        precision="bfloat16",
        weight_decay=5e-4,
        augmentation=Augmentation(crop_padding=4, flip=True),
        seeds=1,
        arms=["order"],
        evaluations=2,
        snapshots=2,
    )


def _model(width: int) -> ResNet:
    return ResNet(kind="resnet18", width=width)


def _pictures(size: Size) -> ImageSet:
    draw = np.random.default_rng(0)
    pixels = draw.integers(256, size=(size.images, 3, 32, 32), dtype=np.uint8)
    labels = draw.integers(10, size=size.images)
    return from_arrays((pixels, labels), (pixels[: size.tested], labels[: size.tested]), classes=10)


def _net(width: int) -> networks.Network:
    return networks.draw(_model(width), 3, 10, (32, 32), seed=0)


def _stepper(size: Size, where: torch.device, width: int | None = None) -> Stepper:
    batches = Batches(_pictures(size), one_training(size), where)
    return Stepper(_net(width or size.width).to(where), batches, one_training(size), where)


def _epoch(size: Size, where: torch.device, width: int) -> float:
    """Seconds of an epoch, the least of some: drawn, trained, its losses read."""
    one = _stepper(size, where, width)
    steps = size.images // size.batch
    taken = []
    for epoch in range(size.epochs):
        start = time.perf_counter()
        one.begin(0, epoch, np.full(steps, STEP_SIZE))
        one.advance(0, steps)
        taken.append(time.perf_counter() - start)
    return float(np.mean(taken[1:]))


def _epochs_of_jobs(size: Size, where: torch.device, jobs: int) -> list[float]:
    """Seconds of an epoch in each of some processes that begin together, once all have compiled."""
    with tempfile.TemporaryDirectory() as folder:
        script = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import bench_gpu; bench_gpu.together"
        tiny = size == TINY
        commands = [[sys.executable, "-c", f"{script}({folder!r}, {job}, {jobs}, {tiny})"] for job in range(jobs)]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
        return [float(each.communicate()[0].splitlines()[-1]) for each in running]


def together(folder: str, job: int, jobs: int, tiny: bool) -> None:
    """One of these processes."""
    devices.prepare(1)
    size, where = (TINY, torch.device("cpu")) if tiny else (FULL, torch.device("cuda"))
    one, steps = _stepper(size, where, size.narrow), size.images // size.batch
    (Path(folder) / str(job)).touch()
    while len(list(Path(folder).iterdir())) < jobs:
        time.sleep(0.01)
    start = time.perf_counter()
    for epoch in range(size.epochs):
        one.begin(0, epoch, np.full(steps, STEP_SIZE))
        one.advance(0, steps)
    print((time.perf_counter() - start) / size.epochs)


def _measured(size: Size, where: torch.device) -> Callable[[], object]:
    """What the stage features does of each snapshot, but for the distances."""
    pictures, net = _pictures(size), _net(size.width).eval().to(where)
    net = net.to(memory_format=networks.memory_format(where, "float32"))
    probe = image_features.probe_images(pictures, size.probed).to(where)
    units = image_features.sampled_units(net, probe, 1000)

    def measure() -> object:
        blocks, _ = image_features.activations(net, probe, pictures, units, normalise=False)
        return [unit_statistics(block) for block in blocks], [feature_effective_rank(block) for block in blocks]

    return measure


def _sparsity(block: torch.Tensor) -> float:
    return float(feature_sparsity(*unit_statistics(block), len(block), 0.95))


def _with_and_without_tf32(
    size: Size, where: torch.device, measure: Callable[[torch.Tensor], float]
) -> tuple[list[float], list[float]]:
    """A measure of every block of a network that has been trained for a while."""
    one, pictures = _stepper(size, where), _pictures(size)
    steps = size.images // size.batch
    for epoch in range(2):
        one.begin(0, epoch, np.full(steps, STEP_SIZE))
        one.advance(0, steps)
    net = one.net.eval()
    probe = image_features.probe_images(pictures, size.probed).to(where)
    units = image_features.sampled_units(net, probe, 1000)
    found = []
    for allowed in (False, True):
        torch.backends.cudnn.allow_tf32 = allowed
        blocks, _ = image_features.activations(net, probe, pictures, units, normalise=False)
        found.append([measure(block) for block in blocks])
    return found[0], found[1]


def _least(run: Callable[[], object], where: torch.device) -> float:
    taken = []
    for _ in range(4):
        start = time.perf_counter()
        run()
        if where.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return min(taken)


if __name__ == "__main__":
    sys.exit(main())
