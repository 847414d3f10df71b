"""Causal pruning of image classifiers of dense layers, as `largestep.studies.pruning` has it for toy networks.

The loss is the cross-entropy of all training images in evaluation mode, not augmented, in float64; that of the best
constant is the entropy of the frequencies of the classes. Runs are those of the cells, on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
import xarray as xr
from scipy.special import entr
from torch import Tensor
from torch.nn.functional import cross_entropy, linear, relu
from tqdm import tqdm

from largestep import devices, stages
from largestep.data.image_set import part
from largestep.data.sources import sources
from largestep.images.batches import Batches
from largestep.images.schedule import of_images
from largestep.images.step import Stepper
from largestep.measures.pruning import Layers
from largestep.models import networks
from largestep.studies.image_sharpness import advance
from largestep.studies.pruning import Examples, Trained, dataset

if TYPE_CHECKING:
    from largestep.config.data import Images
    from largestep.config.studies.image_pruning import ImagePruning
    from largestep.data.image_set import ImageSet
    from largestep.specs.studies import StudySpec, UsedClassifier


def study(spec: StudySpec[ImagePruning, UsedClassifier], threads: int) -> xr.Dataset:
    """Every network, cell and seed; the variables of `largestep.studies.pruning`, NaN where a run has diverged."""
    devices.prepare(threads)
    names = sorted(spec.settings.networks)
    total = sum(net.seeds * len(net.cells) for net in spec.settings.networks.values())
    with tqdm(total=total, desc=spec.study, unit="run", mininterval=2.0, ascii=True) as bar:
        runs = [run for name in names for run in _runs(name, spec, bar)]
    return dataset(runs, spec.experiments[names[0]].measures.correlation_thresholds)


def _runs(name: str, spec: StudySpec[ImagePruning, UsedClassifier], bar: tqdm) -> Iterator[Trained]:
    settings, experiment = spec.settings.networks[name], spec.experiments[name]
    training, drawn, device = experiment.training, experiment.data.data, torch.device("cpu")
    images = part(stages.worker("images", drawn.kind).prepare(drawn, *sources()), cast("Images", drawn))
    batches = Batches(images, training, device)
    learnt = _examples(images, images.train_images, images.train_labels)
    test = _examples(images, images.test_images, images.test_labels)
    for cell in settings.cells:
        law = experiment.schedules[cell]
        schedule = of_images(law, training.epochs * batches.count, f"{name}.{cell}")
        nets: list[Layers | None] = []
        gone = np.full(settings.seeds, -1)
        for seed in range(settings.seeds):
            net = networks.draw(experiment.model, images.channels, images.classes, images.size, seed)
            stepper = Stepper(net, batches, training, device)
            gone[seed] = advance(stepper, seed, schedule.sizes, 0, schedule.steps, batches.count)
            nets.append(None if gone[seed] >= 0 else layers_of(net))
            bar.update()
        fraction = law.decays[0].at if law.decays else 0.0
        yield Trained(name, fraction, nets, gone, learnt, test, experiment.measures.normalise_activations)


def layers_of(net: networks.Network) -> Layers:
    """Weights and biases of an `MLP` in float64, from the input on."""
    modules = [each for each in net.modules() if isinstance(each, torch.nn.Linear)]
    return [(each.weight.detach().double().numpy(), each.bias.detach().double().numpy()) for each in modules]


def _examples(images: ImageSet, chosen: Tensor, labels: Tensor) -> Examples:
    inputs = networks.inputs(chosen, images.white_level, images.moments).flatten(1).double()
    shares = np.bincount(labels.numpy(), minlength=images.classes) / len(labels)

    def loss(layers: Layers) -> float:
        x = inputs
        for place, (weights, biases) in enumerate(layers, start=1):
            x = linear(x, torch.from_numpy(weights), None if biases is None else torch.from_numpy(biases))
            x = relu(x) if place < len(layers) else x
        return float(cross_entropy(x, labels))

    return Examples(inputs.numpy(), loss, float(entr(shares).sum()))
