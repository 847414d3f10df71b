"""Speed of the image trainer against a plain loop: python benchmarks/bench_images.py. On a GPU: bench_gpu.py.

The plain loop crops and flips one Pillow image after the other in four workers, puts weight decay into the loss, reads
every loss, and computes in float32 on the default memory format. Both sides first take one step from the same weights
on the same images, which must give the same. ResNet-18 of width 16, batch 256, images of 32x32, 2 threads.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import plain
import torch
from bench import processor
from torch.utils.data import DataLoader, TensorDataset

from largestep import devices
from largestep.config.data import PublishedImages
from largestep.config.models import ResNet
from largestep.config.training import Augmentation, ImageTraining
from largestep.data import digits
from largestep.data.image_set import ImageSet, from_arrays, part
from largestep.images.batches import Batches
from largestep.images.step import Stepper
from largestep.measures import image_features
from largestep.measures.unit_tensors import unit_statistics
from largestep.measures.units import feature_sparsity
from largestep.models import networks

THREADS, BATCH, PENALTY, STEP_SIZE = 2, 256, 5e-4, 0.1
CPU_STEPS = 12
TRAINING = ImageTraining(
    epochs=1,
    batch_size=BATCH,
    weight_decay=PENALTY,
    augmentation=Augmentation(crop_padding=4, flip=True),
    seeds=1,
    arms=["order"],
    evaluations=2,
    snapshots=2,
)
PLAIN = {"augmentation": Augmentation()}


def main() -> int:
    """Print every row; 1 where results differ."""
    argparse.ArgumentParser(prog="bench_images.py", description=__doc__).parse_args()
    devices.prepare(THREADS)
    where = torch.device("cpu")
    print(f"{processor()}, {os.cpu_count()} cores, {THREADS} threads; ", end="")
    print(f"Python {platform.python_version()}, torch {torch.__version__}")
    print(f"{'':<46}{'ours':>12} {'plain':>13}{'ratio':>8}  {'goal':>5}")
    same = _agree(where)
    same = _on_cpu(where) and same
    if not same:
        print("RESULTS DIFFER")
    return 0 if same else 1


def _model(width: int) -> ResNet:
    return ResNet(kind="resnet18", width=width)


def _pictures(n: int) -> ImageSet:
    draw = np.random.default_rng(0)
    pixels = draw.integers(256, size=(n, 3, 32, 32), dtype=np.uint8)
    labels = draw.integers(10, size=n)
    return from_arrays((pixels, labels), (pixels[:10_000], labels[:10_000]), classes=10)


def _net(width: int) -> networks.Network:
    return networks.draw(_model(width), 3, 10, (32, 32), seed=0)


def _plain_loader(pictures: ImageSet) -> DataLoader:
    return plain.loader(pictures.train_images.permute(0, 2, 3, 1).numpy(), pictures.train_labels.numpy(), BATCH)


def _agree(where: torch.device) -> bool:
    """Whether a step of ours in float32 and one of the plain loop come to the same weights."""
    pictures = _pictures(BATCH)
    training = TRAINING.model_copy(update=PLAIN | {"precision": "float32"})
    stepper = Stepper(_net(16).to(where), Batches(pictures, training, where), training, where)
    stepper.begin(0, 0, np.array([STEP_SIZE]))
    ours = stepper.advance(0, 1)
    # In the order of ours: sums of floating-point numbers depend on it.
    order = torch.from_numpy(np.random.default_rng([1, 0, 0]).permutation(BATCH))
    batch = networks.inputs(pictures.train_images[order], 255), pictures.train_labels[order]
    net = _net(16).to(where, memory_format=torch.contiguous_format)
    theirs = plain.image_sgd(net.train(), [batch], STEP_SIZE, PENALTY, where)
    moved, expected = (networks.flatten(each) - networks.flatten(_net(16)) for each in (stepper.net, net))
    near = np.linalg.norm(moved - expected) < 1e-3 * np.linalg.norm(expected)
    return bool(near and abs(float(ours[0]) - theirs[0]) < 1e-5)


def _on_cpu(where: torch.device) -> bool:
    pictures = _pictures(BATCH * CPU_STEPS)
    loader, net = _plain_loader(pictures), _net(16).to(memory_format=torch.contiguous_format).train()
    ours: dict[str, Callable[[], object]] = {}
    for precision in ("float32", "bfloat16"):
        training = TRAINING.model_copy(update={"precision": precision})
        stepper = Stepper(_net(16), Batches(pictures, training, where), training, where)

        def epoch(stepper: Stepper = stepper) -> None:
            stepper.begin(0, 0, np.full(CPU_STEPS, STEP_SIZE))
            stepper.advance(0, CPU_STEPS)

        ours[precision] = epoch
    # In turn, so that a machine whose speed drifts is the same for both.
    times: dict[str, list[float]] = {name: [] for name in ("plain", *ours)}
    for repeat in range(4):
        for name, run in (("plain", lambda: plain.image_sgd(net, loader, STEP_SIZE, PENALTY, where)), *ours.items()):
            taken = _seconds(run)
            if repeat > 0:
                times[name].append(taken / CPU_STEPS)
    slow = min(times["plain"])
    for precision, goal in (("float32", 1.5), ("bfloat16", 2.8)):
        fast = min(times[precision])
        _row(f"SGD step, ResNet-18 width 16, {precision}", "ms", 1e3 * fast, 1e3 * slow, goal)
    return _sparsity()


def _sparsity() -> bool:
    """Five blocks of a network on a thousand digits, a thousand units each; one thread."""
    devices.prepare(1)
    settings = PublishedImages(kind="digits", examples=1000, test_examples=1)
    data = part(digits.prepare(settings, Path(), None), settings)
    # Trained for four epochs: units that correlate cost the plain loop most.
    net, where = networks.draw(_model(16), 1, 10, data.size, seed=0), torch.device("cpu")
    training = TRAINING.model_copy(update=PLAIN | {"batch_size": 64, "weight_decay": 0.0})
    batches = Batches(data, training, where)
    stepper = Stepper(net, batches, training, where)
    for epoch in range(4):
        stepper.begin(0, epoch, np.full(batches.count, 0.3))
        stepper.advance(0, batches.count)
    net.eval()
    units = image_features.sampled_units(net, data.train_images, 1000)
    inputs = networks.inputs(data.train_images, data.white_level)
    loader = DataLoader(TensorDataset(inputs, data.train_labels), batch_size=256)

    def ours() -> list[float]:
        blocks, _ = image_features.activations(net, data.train_images, data, units, normalise=False)
        return [float(feature_sparsity(*unit_statistics(block)[:2], len(inputs), 0.95)) for block in blocks]

    def theirs() -> list[float]:
        return plain.block_sparsity(net, loader, [each.numpy() for each in units], 0.95)

    # Batches of other sizes round differently in single precision.
    same = bool(np.allclose(ours(), theirs(), atol=1e-3))
    fast, slow = min(_seconds(ours) for _ in range(5)), min(_seconds(theirs) for _ in range(3))
    _row("sparsity of five blocks, 1000 images, 1 thread", "s", fast, slow, 6)
    return same


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _row(name: str, unit: str, ours: float, theirs: float, goal: float) -> None:
    verdict = "ok" if theirs / ours >= goal else "short"
    print(f"{name:<46}{ours:>9.2f} {unit:<3}{theirs:>10.2f} {unit:<3}{theirs / ours:>7.2f}x {goal:>5.1f}x  {verdict}")


if __name__ == "__main__":
    sys.exit(main())
