"""Training of image classifiers by mini-batch SGD, in float32 on the CPU: the seeds of a cell, one by one.

A seed fixes the initial weights and the order of the examples, and is shared by all cells of an
experiment, as in `largestep.dynamics.toy`. Inputs lie in [0, 1] and are not normalised further (paper,
section 4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from largestep.dynamics.recording import LABEL_NOISE, ORDER, datasets, recorded_steps
from largestep.models import resnet
from largestep.schedules import step_sizes

# Images that pass through the network at once when nothing is learned; it bounds memory.
EVALUATION_BATCH = 512


def train(spec: dict[str, Any], data: xr.Dataset, threads: int) -> tuple[xr.Dataset, xr.Dataset]:
    """Train every seed of a cell.

    Returns the losses, with dimensions (arm, seed, step), and the snapshots of the network, weights and
    BatchNorm's running statistics, with dimensions (arm, seed, snapshot_step, parameter). Evaluation
    comes before the update of a step. `train_loss` is the mean cross-entropy of the mini-batches since
    the evaluation before, each taken before its update; at step 0 it is that of the first mini-batch.
    A run diverges at the step whose mini-batch has a loss that is not finite, and is NaN from there on.
    """
    resnet.prepare(threads)
    training = spec["training"]
    examples = _Examples(data, training["batch_size"], training["label_noise"])
    steps = training["epochs"] * examples.batches
    sizes = step_sizes(spec["schedule"], steps)
    seed_of_run = np.tile(np.arange(training["seeds"]), len(training["arms"]))
    results = []
    with tqdm(total=steps * len(seed_of_run), unit="step", mininterval=2.0, ascii=True) as bar:
        for run, seed in enumerate(seed_of_run):
            bar.set_description(f"{spec['cell']}, seed {run + 1}/{len(seed_of_run)}")
            net = resnet.draw(spec["model"], data, int(seed))
            results.append(_train_run(net, examples.batches_of(int(seed)), examples, sizes, training, bar))
            bar.update((run + 1) * steps - bar.n)
    curves = {
        "train_loss": (
            _stack(results, "train_loss"),
            "1",
            "mean cross-entropy of the mini-batches since the last evaluation",
        ),
        "test_loss": (_stack(results, "test_loss"), "1", "cross-entropy on the test set"),
        "test_error": (_stack(results, "test_error"), "percent", "misclassified images of the test set"),
    }
    diverged_step = np.array([result.diverged_step for result in results])
    return datasets(training, sizes, curves, _stack(results, "snapshots"), diverged_step, np.zeros_like(seed_of_run))


class _Examples:
    """The two parts of an image data set, and the mini-batches of the first."""

    def __init__(self, data: xr.Dataset, batch_size: int, label_noise: float) -> None:
        self.white_level = float(data["white_level"])
        self.images = torch.from_numpy(data["train_images"].values)
        self.labels = torch.from_numpy(data["train_labels"].values)
        self.test_images = torch.from_numpy(data["test_images"].values)
        self.test_labels = torch.from_numpy(data["test_labels"].values)
        self.batch_size = batch_size
        self.label_noise = label_noise
        self.batches = len(self.images) // batch_size

    def batches_of(self, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Mini-batches of inputs and labels without end; every epoch has its own order and drops the rest.

        Of each mini-batch the share `label_noise` of the labels, on average, is drawn anew from all classes.
        """
        generator, noise = np.random.default_rng([ORDER, seed]), np.random.default_rng([LABEL_NOISE, seed])
        classes = int(self.labels.max()) + 1
        while True:
            order = torch.from_numpy(generator.permutation(len(self.images)))
            for batch in order[: self.batches * self.batch_size].split(self.batch_size):
                labels = self.labels[batch]
                if self.label_noise > 0:
                    redrawn = torch.from_numpy(noise.random(len(batch)) < self.label_noise)
                    labels = torch.where(redrawn, torch.from_numpy(noise.integers(classes, size=len(batch))), labels)
                yield resnet.inputs(self.images[batch], self.white_level), labels


@dataclass
class _Result:
    """What one run leaves behind: curves (evaluations,) and snapshots (snapshots, p), NaN once diverged."""

    train_loss: NDArray[np.float64]
    test_loss: NDArray[np.float64]
    test_error: NDArray[np.float64]
    snapshots: NDArray[np.float32]
    diverged_step: int = -1


def _train_run(
    net: resnet.ResNet18,
    batches: Iterator[tuple[Tensor, Tensor]],
    examples: _Examples,
    sizes: NDArray[np.float64],
    training: dict[str, Any],
    bar: tqdm,
) -> _Result:
    evaluation_steps, snapshot_steps = recorded_steps(len(sizes), training)
    train_loss, test_loss, test_error = np.full((3, len(evaluation_steps)), np.nan)
    snapshots = np.full((len(snapshot_steps), len(resnet.flatten(net))), np.nan, dtype=np.float32)
    result = _Result(train_loss, test_loss, test_error, snapshots)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.0, momentum=training["momentum"], weight_decay=training["weight_decay"]
    )
    step = 0
    for index, now in enumerate(evaluation_steps):
        losses = torch.empty(int(now) - step)
        for position, size in enumerate(sizes[step:now]):
            losses[position] = _update(net, optimizer, float(size), training["sam_radius"], *next(batches))
            bar.update()
        # Checked once for all these steps: reading each loss as it comes would have the trainer wait for it.
        finite = torch.isfinite(losses)
        if index == 1 and finite[0]:
            result.train_loss[0] = losses[0]
        if not finite.all():
            result.diverged_step = step + int(finite.int().argmin())
            break
        if index > 0:
            result.train_loss[index] = losses.double().mean()
        result.test_loss[index], result.test_error[index] = _evaluate(net, examples)
        if now in snapshot_steps:
            result.snapshots[np.searchsorted(snapshot_steps, now)] = resnet.flatten(net)
        step = int(now)
    return result


def _update(
    net: resnet.ResNet18, optimizer: torch.optim.SGD, size: float, sam_radius: float, inputs: Tensor, labels: Tensor
) -> Tensor:
    loss = cross_entropy(net(inputs), labels)
    optimizer.param_groups[0]["lr"] = size
    optimizer.zero_grad()
    loss.backward()
    if sam_radius > 0:
        _sharpness_aware(net, sam_radius, inputs, labels)
    optimizer.step()
    return loss.detach()


def _sharpness_aware(net: resnet.ResNet18, radius: float, inputs: Tensor, labels: Tensor) -> None:
    """Replace the gradient g by that at theta + radius g / |g| (SAM, Foret et al. 2021)."""
    parameters = list(net.parameters())
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.linalg.vector_norm(torch.cat([gradient.flatten() for gradient in gradients]))
    kept = [parameter.detach().clone() for parameter in parameters]
    # The running statistics are those of the network itself, not of the perturbed one.
    normalisations = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    momenta = [module.momentum for module in normalisations]
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.add_(gradient * (radius / norm.clamp_min(torch.finfo(norm.dtype).tiny)))
    for module in normalisations:
        module.momentum = 0.0
    net.zero_grad()
    cross_entropy(net(inputs), labels).backward()
    for module, momentum in zip(normalisations, momenta, strict=True):
        module.momentum = momentum
    with torch.no_grad():
        for parameter, values in zip(parameters, kept, strict=True):
            parameter.copy_(values)


def _evaluate(net: resnet.ResNet18, examples: _Examples) -> tuple[float, float]:
    """Cross-entropy and misclassified percentage on the test set, with BatchNorm's running statistics."""
    net.eval()
    with torch.inference_mode():
        parts = examples.test_images.split(EVALUATION_BATCH)
        logits = torch.cat([net(resnet.inputs(part, examples.white_level)) for part in parts])
        loss = cross_entropy(logits, examples.test_labels)
        wrong = (logits.argmax(1) != examples.test_labels).double().mean()
    net.train()
    return float(loss), 100.0 * float(wrong) if loss.isfinite() else np.nan


def _stack(results: list[_Result], name: str) -> NDArray[np.floating]:
    return np.stack([getattr(result, name) for result in results])
