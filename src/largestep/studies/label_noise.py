"""Proposition 2.1 by enumeration: a step of SGD on example i is one of gradient descent with label noise.

The noise of index i is [xi]_j = (h(x_j) - y_j) (1 - n 1{j = i}), with which gradient descent on the labels y + xi
takes the step of SGD on example i. Both steps are taken for every i, from several points of a run. In float64
the toy networks take them through the kernels that train them; all else goes through autograd.

The proposition is about a fixed function h. For a network with BatchNorm this is the network in evaluation mode, with
the running statistics that it has at that point; in training mode the output for one example depends on
the others of its batch. A classifier is given squared loss on one-hot labels, summed over classes, and noise
for every class. A loss without the half doubles the step on both sides.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from largestep import devices, stages
from largestep.compiled import use_threads
from largestep.data.image_set import ImageSet, part
from largestep.data.sources import sources
from largestep.images.schedule import of_images
from largestep.models import networks
from largestep.schedules import Schedule
from largestep.store import variable
from largestep.toys.orders import Orders
from largestep.toys.runs import Problem, Runs

if TYPE_CHECKING:
    from largestep.config.data import Images
    from largestep.config.studies.label_noise import CheckedNet, LabelNoise
    from largestep.specs.studies import StudySpec, UsedClassifier, UsedToy

Array = NDArray[np.float64]
PRECISIONS = {"float64": torch.float64, "float32": torch.float32}
ERRORS = {
    "update_error": "distance of the two steps' ends over the norm of SGD's",
    "step_error": "distance of the two steps' ends over the root mean square length of SGD's steps",
    "mean_error": "norm of the mean of the noise over its root mean square norm",
    "variance_error": "relative error of E|xi|^2 / (n (n - 1)) = 2 L",
}


def study(spec: StudySpec[LabelNoise, UsedToy | UsedClassifier], threads: int) -> xr.Dataset:
    """The largest errors over examples and points of a run: dimensions (network, precision, seed).

    Distances and norms are over all parameters. `diverged_step` (network, seed) is the update at which the run
    diverged, -1 for none; points after it are left out.
    """
    use_threads(threads)
    devices.prepare(threads)
    settings, experiments = spec.settings, spec.experiments
    names, seeds = sorted(settings.networks), settings.seeds
    largest = np.full((len(names), seeds, len(PRECISIONS), len(ERRORS)), np.nan)
    diverged_step = np.full((len(names), seeds), -1)
    with tqdm(total=largest[..., 0, 0].size, desc=spec.study, unit="run", mininterval=2.0, ascii=True) as bar:
        for index, name in enumerate(names):
            checked = _checked(name, experiments[name], settings.networks[name])
            for seed in range(seeds):
                for now, errors in checked.points(seed):
                    if errors is None:
                        diverged_step[index, seed] = now
                        break
                    largest[index, seed] = np.fmax(largest[index, seed], errors)
                bar.update()
    dims = ("network", "precision", "seed")
    return xr.Dataset(
        {
            **{
                name: variable(dims, largest[..., place].swapaxes(1, 2), "1", long_name)
                for place, (name, long_name) in enumerate(ERRORS.items())
            },
            "diverged_step": variable(
                ("network", "seed"), diverged_step, "1", "step at which the run diverged, -1 for none"
            ),
        },
        {
            "network": variable(("network",), names, "1", "experiment that the network is from"),
            "precision": variable(("precision",), list(PRECISIONS), "1", "of the arithmetic"),
            "seed": variable(("seed",), np.arange(seeds), "1", "seed of the init and of the order of examples"),
        },
    )


def _checked(name: str, experiment: UsedToy | UsedClassifier, net: CheckedNet) -> _Toy | _Images:
    drawn = experiment.data.data
    if stages.is_images(drawn.kind):
        images = stages.worker("images", drawn.kind).prepare(drawn, *sources())
        return _Images(name, cast("UsedClassifier", experiment), net, part(images, cast("Images", drawn)))
    return _Toy(cast("UsedToy", experiment), net, stages.worker("data", drawn.kind).draw(drawn, 0))


class _Toy:
    """A toy network, along the first updates of its run at batch size 1."""

    def __init__(self, experiment: UsedToy, net: CheckedNet, data: xr.Dataset) -> None:
        training, used = experiment.training, data.isel(example=slice(net.examples))
        self._problem = Problem(experiment.model, used, training.loss)
        self._after = sorted(net.after)
        schedule = experiment.schedules[net.cell]
        self._sizes = Schedule(schedule, training.steps, training.decay_after_update).sizes

    def points(self, seed: int) -> Iterator[tuple[int, Array | None]]:
        """Updates before the point and errors there, (precisions, errors); None where the run has diverged."""
        runs = Runs(self._problem, self._problem.net.initial(np.array([seed])))
        orders = Orders([seed], self._problem.examples)
        for now in self._after:
            runs.advance(self._sizes[runs.step : now], orders.take(now - runs.step))
            if runs.diverged_step[0] >= 0:
                yield int(runs.diverged_step[0]), None
                return
            parameters = runs.parameters[0].copy()
            yield now, np.array([self._by_kernel(parameters, now), self._by_autograd(parameters, now)])

    def _by_kernel(self, parameters: Array, now: int) -> Array:
        residuals = self._problem.residuals(parameters[None])[0]
        n, size = len(residuals), self._sizes[now : now + 1]
        sgd, gd = (Runs(self._problem, np.tile(parameters, (n, 1))) for _ in range(2))
        sgd.advance(size, np.arange(n)[:, None, None])
        gd.advance(size, noise=enumerated_noise(residuals[:, None])[:, None, :, 0])
        ends = zip(sgd.parameters, gd.parameters, strict=True)
        return np.array([*_update_errors(parameters, ends), *_moment_errors(residuals[:, None])])

    def _by_autograd(self, parameters: Array, now: int) -> Array:
        net, task = self._problem.net.module(parameters).float(), self._problem.task(0)
        inputs, labels = (torch.tensor(part, dtype=torch.float32) for part in (task.inputs, task.labels))
        return _autograd_errors(net, inputs, labels[:, None], self._sizes[now], task.residual_factor)


class _Images:
    """An image classifier, along updates in training mode on the squared loss of all its examples."""

    def __init__(self, name: str, experiment: UsedClassifier, net: CheckedNet, images: ImageSet) -> None:
        training = experiment.training
        used = images.train_images[: net.examples]
        self._inputs = networks.inputs(used, images.white_level, images.moments)
        labels = images.train_labels[: net.examples]
        self._labels = torch.nn.functional.one_hot(labels, images.classes).float()
        self._after = sorted(net.after)
        steps = training.epochs * (len(images.train_images) // training.batch_size)
        self._sizes = of_images(experiment.schedules[net.cell], steps, f"{name}.{net.cell}").sizes
        self._model, self._images = experiment.model, images

    def points(self, seed: int) -> Iterator[tuple[int, Array | None]]:
        """As `_Toy.points`."""
        images, taken = self._images, 0
        net = networks.draw(self._model, images.channels, images.classes, images.size, seed)
        for now in self._after:
            for step in range(taken, now):
                if not self._update(net, float(self._sizes[step])):
                    yield step, None
                    return
            taken = now
            yield now, np.array([self._errors(net, precision, now) for precision in PRECISIONS.values()])

    def _update(self, net: networks.Network, size: float) -> bool:
        net.train()
        loss = _loss(net, self._inputs, self._labels, 1.0)
        parameters = list(net.parameters())
        with torch.no_grad():
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.sub_(gradient, alpha=size)
        return bool(loss.isfinite())

    def _errors(self, net: networks.Network, precision: torch.dtype, now: int) -> Array:
        fixed = copy.deepcopy(net).eval().to(precision)
        return _autograd_errors(fixed, self._inputs.to(precision), self._labels.to(precision), self._sizes[now], 1.0)


def enumerated_noise(residuals: NDArray[np.floating]) -> NDArray[np.floating]:
    """The noise of every index: (n, n, outputs), the index first, from residuals h(x) - y of shape (n, outputs)."""
    n = len(residuals)
    return np.asarray(residuals * (1 - n * np.eye(n, dtype=residuals.dtype))[:, :, None])


def _autograd_errors(net: torch.nn.Module, inputs: Tensor, labels: Tensor, size: float, factor: float) -> Array:
    """What ERRORS names, in the precision of the network; labels: (n, outputs)."""
    parameters = list(net.parameters())
    with torch.no_grad():
        residuals = (net(inputs) - labels).numpy()
    noise = torch.from_numpy(enumerated_noise(residuals))
    before = _flat(parameters)

    def after(x: Tensor, y: Tensor) -> NDArray[np.floating]:
        gradients = torch.autograd.grad(_loss(net, x, y, factor), parameters)
        return before - np.asarray(size, dtype=before.dtype) * _flat(gradients)

    each = range(len(labels))
    pairs = ((after(inputs[i : i + 1], labels[i : i + 1]), after(inputs, labels + noise[i])) for i in each)
    return np.array([*_update_errors(before, pairs), *_moment_errors(residuals)])


def _loss(net: torch.nn.Module, inputs: Tensor, labels: Tensor, factor: float) -> Tensor:
    """Half the mean over examples of the squared error, times the residual factor of the experiment's loss."""
    return 0.5 * factor * (net(inputs) - labels).square().sum(1).mean()


def _flat(tensors: Iterable[Tensor]) -> NDArray[np.floating]:
    return torch.cat([tensor.detach().flatten() for tensor in tensors]).numpy()


def _update_errors(
    before: NDArray[np.floating], pairs: Iterable[tuple[NDArray[np.floating], NDArray[np.floating]]]
) -> tuple[float, float]:
    """The largest distance of two ends, over the norm of SGD's end and over the length of SGD's usual step."""
    distances, ends, lengths = np.array(
        [[_norm(sgd.astype(float) - gd), _norm(sgd), _norm(sgd.astype(float) - before)] for sgd, gd in pairs]
    ).T
    # A single step may have no length, where the network fits its example.
    return float(np.max(distances / ends)), float(distances.max() / np.sqrt(np.mean(lengths**2)))


def _norm(values: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.sum(values.astype(float) ** 2)))


def _moment_errors(residuals: NDArray[np.floating]) -> tuple[float, float]:
    """By how much the first two moments of the noise miss what the proposition gives; residuals: (n, outputs)."""
    n, noise = len(residuals), enumerated_noise(residuals)
    square = np.mean(np.sum(noise**2, axis=(1, 2)))
    twice_loss = np.mean(np.sum(residuals**2, axis=1))
    return (
        float(_norm(noise.mean(axis=0)) / np.sqrt(square)),
        float(abs(square / (n * (n - 1)) / twice_loss - 1.0)),
    )
