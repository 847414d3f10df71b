"""Sharpness and batch sharpness of image classifiers along SGD, in training mode and at the batch they train with.

The loss is the mean cross-entropy of the mini-batches of an epoch, drawn anew at every point, each with its own
statistics where the network has BatchNorm. Its sharpness is the largest eigenvalue of its Hessian; its batch sharpness
is E[g'Hg] / E[g'g], with gradient and Hessian of each mini-batch's own loss (Andreyev and Beneventano 2024). Runs are
those of the cells, on the CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep import devices, stages
from largestep.data.image_set import part
from largestep.data.sources import sources
from largestep.images.batches import Batches
from largestep.images.curvature import Batch, Curvature
from largestep.images.schedule import of_images
from largestep.images.step import Stepper
from largestep.models import networks
from largestep.studies.batch_sharpness import DESCRIBED as OF_TOYS
from largestep.studies.batch_sharpness import FURTHER_SEEDS, measured_at, side_by_side

if TYPE_CHECKING:
    from largestep.config.data import Images
    from largestep.config.studies.image_sharpness import ImageSharpness
    from largestep.specs.studies import StudySpec, UsedClassifier

DESCRIBED = OF_TOYS | {
    "sharpness": (
        ("network", "seed", "point"),
        "1",
        "largest eigenvalue of the Hessian of the mean loss of the mini-batches of an epoch, in training mode",
    )
}


def study(spec: StudySpec[ImageSharpness, UsedClassifier], threads: int) -> xr.Dataset:
    """Every network and seed, at points of the second half of the large-step phase and after it.

    Returns the variables of `DESCRIBED`; NaN where a run has diverged, and for seeds that a network does not have.
    """
    devices.prepare(threads)
    settings = spec.settings
    names = sorted(settings.networks)
    seeds = max(network.seeds for network in settings.networks.values())
    runs = sum(network.seeds for network in settings.networks.values())
    with tqdm(total=runs, desc=spec.study, unit="run", mininterval=2.0, ascii=True) as bar:
        by_network = {name: _of_network(name, spec, seeds, bar) for name in names}
    return side_by_side(by_network, DESCRIBED)


def _of_network(name: str, spec: StudySpec[ImageSharpness, UsedClassifier], most: int, bar: tqdm) -> dict[str, Any]:
    settings, experiment = spec.settings, spec.experiments[name]
    network, training, drawn = settings.networks[name], experiment.training, experiment.data.data
    images = part(stages.worker("images", drawn.kind).prepare(drawn, *sources()), cast("Images", drawn))
    device = torch.device("cpu")
    batches, others = (Batches(images, training, device) for _ in range(2))
    law, cell = experiment.schedules[network.cell], f"{name}.{network.cell}"
    schedule = of_images(law, training.epochs * batches.count, cell)
    points = measured_at(schedule.decay_step, schedule.steps, settings.points, settings.points_after)
    sharpness, of_batches = np.full((2, most, len(points)), np.nan)
    diverged_step = np.full(most, -1)
    for seed in range(network.seeds):
        net = networks.draw(experiment.model, images.channels, images.classes, images.size, seed)
        stepper, now = Stepper(net, batches, training, device), 0
        for place, until in enumerate(points):
            diverged_step[seed] = advance(stepper, seed, schedule.sizes, now, int(until), batches.count)
            if diverged_step[seed] >= 0:
                break
            now = int(until)
            curvature = Curvature(net, _epoch(others, seed, place))
            along, squares = curvature.along_gradients()
            of_batches[seed, place] = along.sum() / squares.sum() if squares.sum() > 0.0 else np.nan
            sharpness[seed, place] = curvature.sharpness()
        bar.update()
    return {
        "batch_sharpness": of_batches,
        "sharpness": sharpness,
        "step_size": schedule.sizes[points],
        "point_step": points,
        "decay_step": schedule.decay_step,
        "steps": schedule.steps,
        "seeds_run": network.seeds,
        "diverged_step": diverged_step,
    }


def advance(stepper: Stepper, seed: int, sizes: NDArray[np.float64], first: int, last: int, per_epoch: int) -> int:
    """Take the updates first to last - 1 of a run; returns that at which it diverged, -1 for none."""
    while first < last:
        epoch, place = divmod(first, per_epoch)
        count = min(last - first, per_epoch - place)
        stepper.begin(seed, epoch, sizes[epoch * per_epoch : (epoch + 1) * per_epoch])
        finite = np.isfinite(stepper.advance(place, place + count).numpy())
        if not finite.all():
            return first + int(finite.argmin())
        first += count
    return -1


def _epoch(batches: Batches, seed: int, place: int) -> list[Batch]:
    """The mini-batches of an epoch that training does not draw."""
    batches.begin(FURTHER_SEEDS + seed, place)
    return [batches.take(torch.tensor([position])) for position in range(batches.count)]
