"""Speed of the image trainer on one GPU: python benchmarks/bench_gpu.py, in less than four minutes.

ResNet-18 of width 64, batch 256, 50,000 images of 32x32, bfloat16; goals are those for one H100. Every row has a time
limit and is printed as it comes: a card that hangs costs the rows of one process. Training is timed over 10 epochs of a
hundred; the row of a run with measures adds 98 evaluations, snapshots and features to it, each measured alone.
TF32, in which features would be faster, is not used: the last rows say what it would change in them.
With --tiny it runs on the CPU, at a size at which the figures mean nothing: that shows that all rows come.
"""

from __future__ import annotations

import argparse
import os
import platform
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from bench import processor

from largestep import devices
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

STEP_SIZE, EPOCHS, RECORDED, JOBS = 0.1, 100, 98, 4
# Seconds that a process may take to start.
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
    """What is measured: its unit, the goal (at most), and seconds that it may take."""

    what: str
    unit: str
    goal: float | None
    limit_s: float


def deep(size: Size, where: torch.device) -> Iterator[float]:
    """The rows of `DEEP`, in their order, of one network."""
    pictures, settings = _pictures(size), one_training(size)
    start = time.perf_counter()
    one, batches = _stepper(size, where, pictures, size.width)
    yield time.perf_counter() - start
    epoch = _epoch(one, size)
    yield 1e3 * epoch / batches.count
    yield EPOCHS * epoch
    with tempfile.TemporaryDirectory() as folder:
        kept = Checkpoints(Path(folder), "key")
        run = trainer._Run("run0", 0, settings, np.zeros(1), pictures, batches, where, kept)
        tested = _least(lambda: run._tested(one), where)
        yield tested
        both = tested + _least(lambda: run._train_loss(one, 0), where)
        saved = _least(lambda: kept.save("snapshot", {"parameters": networks.flatten(one.net)}), where)
    net = _net(size.width).eval().to(where)
    networks.load(net, networks.flatten(one.net))
    net = net.to(memory_format=networks.memory_format(where, "float32"))
    probe = image_features.probe_images(pictures, size.probed).to(where)
    units = image_features.sampled_units(net, probe, 1000)

    def measured() -> list[tuple[float, float]]:
        blocks, _ = image_features.activations(net, probe, pictures, units, normalise=False)
        measures = [(unit_statistics(block), float(feature_effective_rank(block))) for block in blocks]
        return [(float(feature_sparsity(of.active, of.later, len(probe), 0.95)), rank) for of, rank in measures]

    features = _least(measured, where)
    yield features
    yield EPOCHS * epoch + RECORDED * (both + saved + features)
    exact = np.array(measured())
    torch.backends.cudnn.allow_tf32 = True
    rounded = np.array(measured())
    yield 100 * float(np.abs(rounded - exact)[:, 0].max())
    yield 100 * float(np.abs(rounded / exact - 1)[:, 1].max())


DEEP = (
    Row("compile and capture", "s", 30.0, 60),
    Row("a captured step", "ms", 3.8, 25),
    Row(f"training, {EPOCHS} epochs", "s", 75.0, 1),
    Row("evaluation of the test set", "s", 0.06, 10),
    Row("features of one snapshot", "s", 0.15, 15),
    Row(f"training with measures at {RECORDED} steps", "s", 110.0, 1),
    Row("TF32 would change feature sparsity by", "points", None, 10),
    Row("TF32 would change effective ranks by", "%", None, 1),
)


def narrow(size: Size, where: torch.device) -> Iterator[float]:
    """Four jobs of a narrow network at once on a card: how many times as long each takes as one alone."""
    [alone] = _epochs_of_jobs(size, 1)
    yield max(_epochs_of_jobs(size, JOBS)) / alone


NARROW = (Row(f"width 16: {JOBS} jobs at once on a card, over one", "x", 2.0, 80),)
PROCESSES = {"deep": (deep, DEEP), "narrow": (narrow, NARROW)}


def main() -> int:
    """Print every row as it comes; 1 where one is missing or short of its goal."""
    arguments = argparse.ArgumentParser(prog="bench_gpu.py", description=__doc__)
    arguments.add_argument("--tiny", action="store_true", help="on the CPU, to see that it runs")
    arguments.add_argument("--process", choices=PROCESSES, help="measure these rows and print numbers alone")
    options = arguments.parse_args()
    if not options.tiny and not torch.cuda.is_available():
        sys.exit("error: torch sees no GPU here; --tiny runs on the CPU")
    size, where = (TINY, torch.device("cpu")) if options.tiny else (FULL, torch.device("cuda"))
    if options.process:
        devices.prepare(1)
        for value in PROCESSES[options.process][0](size, where):
            print(value, flush=True)
        return 0
    print(f"{devices.describe(where)}; Python {platform.python_version()}, torch {torch.__version__}; {processor()}")
    return 0 if all([_print(name, options.tiny) for name in PROCESSES]) else 1


def _print(name: str, tiny: bool) -> bool:
    """The rows of one process; whether all came and met their goals."""
    command = [sys.executable, __file__, "--process", name, *(["--tiny"] if tiny else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    output, good, allowed = process.stdout, True, float(START_S)
    assert output is not None
    try:
        for row in PROCESSES[name][1]:
            # A CPU that others use too may take any time.
            allowed += row.limit_s
            ready, _, _ = select.select([output], [], [], None if tiny else allowed)
            line = output.readline() if ready else b""
            if not line:
                print(f"{row.what:<44}{'no figure' if ready else f'not done within {allowed:g} s'}", flush=True)
                return False
            allowed = 0.0
            value, goal = float(line), "" if row.goal is None else f"{row.goal:>9g} {row.unit}"
            met = row.goal is None or value <= row.goal
            good &= met or tiny
            verdict = "" if row.goal is None or tiny else "  ok" if met else "  short"
            print(f"{row.what:<44}{value:>10.3f} {row.unit:<7}{goal}{verdict}", flush=True)
    finally:
        with suppress(ProcessLookupError):
            # With the jobs that it has started.
            os.killpg(process.pid, signal.SIGKILL)
        _, errors = process.communicate()
        if errors.strip() and process.returncode not in (0, -signal.SIGKILL):
            print(f"  {errors.decode(errors='replace').splitlines()[-1]}", flush=True)
    return good


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


def _stepper(size: Size, where: torch.device, pictures: ImageSet, width: int) -> tuple[Stepper, Batches]:
    settings = one_training(size)
    batches = Batches(pictures, settings, where)
    return Stepper(_net(width).to(where), batches, settings, where), batches


def _epoch(one: Stepper, size: Size) -> float:
    """Seconds of an epoch after the first: drawn, trained, its losses read."""
    steps, taken = size.images // size.batch, []
    for epoch in range(size.epochs):
        start = time.perf_counter()
        one.begin(0, epoch, np.full(steps, STEP_SIZE))
        one.advance(0, steps)
        taken.append(time.perf_counter() - start)
    return float(np.mean(taken[1:]))


def _epochs_of_jobs(size: Size, jobs: int) -> list[float]:
    """Seconds of an epoch in each of some processes that begin together, once all have compiled."""
    path = str(Path(__file__).parent)
    with tempfile.TemporaryDirectory() as folder:
        calls = [f"bench_gpu.together({folder!r}, {job}, {jobs}, {size == TINY})" for job in range(jobs)]
        commands = [
            [sys.executable, "-c", f"import sys; sys.path[:0] = [{path!r}]; import bench_gpu; {c}"] for c in calls
        ]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
        return [float(each.communicate()[0].splitlines()[-1]) for each in running]


def together(folder: str, job: int, jobs: int, tiny: bool) -> None:
    """One of these processes: prints the seconds."""
    devices.prepare(1)
    size, where = (TINY, torch.device("cpu")) if tiny else (FULL, torch.device("cuda"))
    one, _ = _stepper(size, where, _pictures(size), size.narrow)
    (Path(folder) / str(job)).touch()
    while len(list(Path(folder).iterdir())) < jobs:
        time.sleep(0.01)
    print(_epoch(one, size))


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
