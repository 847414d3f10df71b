"""Features of an image classifier: activity and redundancy of its units, distance from the init (section 4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from largestep import devices
from largestep.data.image_set import ImageSet
from largestep.measures import RUN
from largestep.measures.distance import layer_distances, relative
from largestep.measures.unit_tensors import feature_effective_rank, unit_statistics
from largestep.measures.units import unit_dataset
from largestep.models import networks
from largestep.store import variable

if TYPE_CHECKING:
    from largestep.config.measures import Activations
    from largestep.config.models import Model

# Images that pass through the network at once; it bounds memory.
BATCH = 512
LOWER = "measures.units_per_block, measures.probe_images or model.width"
# Of the filters of the first layer, how many are kept, at the start and at the end of a run.
MOST_FILTERS = 64


def features(
    model: Model, measures: Activations, images: ImageSet, snapshots: xr.Dataset, *, label: str, threads: int
) -> xr.Dataset:
    """Statistics of a fixed random sample of the units of every block, on a fixed sample of the training images.

    A unit is one channel at one position. The network is in evaluation mode and computes in float32; the images are
    not augmented. Also the effective rank of each block's activations, the distances of the weights from the init,
    by part of the network and by layer, and filters of the first layer. snapshots: `parameters`
    (arm, seed, snapshot_step, p), read one network at a time.

    Raises StoreError for a device that cannot be had or whose memory is too small.
    """
    devices.prepare(threads)
    with devices.device() as device, devices.out_of_memory(label, LOWER):
        return _features(model, measures, images, snapshots["parameters"], label, device)


def _features(
    model: Model,
    measures: Activations,
    images: ImageSet,
    parameters: xr.DataArray,
    label: str,
    device: torch.device,
) -> xr.Dataset:
    net = networks.draw(model, images.channels, images.classes, images.size, seed=0).eval()
    net = net.to(device).to(memory_format=networks.memory_format(device, "float32"))
    probe = probe_images(images, measures.probe_images).to(device)
    units = sampled_units(net, probe, measures.units_per_block)
    runs, last = parameters.shape[:3], parameters.shape[2] - 1
    statistics, active, ranks, filters = [], [], [], []
    by_part, by_layer = _Distances(), _Distances()
    snapshots = list(np.ndindex(*runs))
    for index in tqdm(snapshots, desc=label, unit="snapshot", mininterval=2.0, ascii=True):
        networks.load(net, parameters[index].values)
        blocks, shares = activations(net, probe, images, units, measures.normalise_activations)
        active.append(np.where([bool(block.isfinite().all()) for block in blocks], shares, np.nan))
        statistics.append([unit_statistics(block) for block in blocks])
        ranks.append([feature_effective_rank(block) for block in blocks])
        by_part.add(networks.parts(net), first=index[2] == 0)
        by_layer.add({name: [weight] for name, weight in networks.weights(net).items()}, first=index[2] == 0)
        if index[2] in (0, last):
            filters.append(networks.first_filters(net)[:MOST_FILTERS].cpu().numpy().copy())
    dataset = unit_dataset(statistics, runs, len(probe), "block of the unit")
    dataset["active_fraction"] = variable(
        (*RUN, "block"),
        np.reshape(active, (*runs, -1)),
        "1",
        "mean fraction of non-zero activations over the probe images, of all units of the block",
    )
    dataset["units"] = variable(
        ("block",),
        [block[0].numel() for block in _blocks(net, probe)],
        "1",
        "units of the block, of which those looked at are a random sample",
    )
    dataset["feature_effective_rank"] = variable(
        (*RUN, "block"),
        np.reshape(ranks, (*runs, -1)),
        "1",
        "effective rank of the block's activations: exponential of the entropy of their singular values, normalised "
        "to sum 1",
    )
    dataset["filters"] = variable(
        ("arm", "seed", "moment", "filter", "channel", "row", "column"),
        np.stack(filters).reshape(*runs[:2], 2, *filters[0].shape),
        "1",
        "weights of the first layer, of its first filters",
    )
    dataset = dataset.assign_coords(
        moment=variable(("moment",), ["start", "end"], "1", "first or last snapshot"),
        weight=variable(("weight",), list(networks.weights(net)), "1", "layer, as in the state dictionary"),
    )
    dataset["weight_distance"] = variable(
        (*RUN, "weight"),
        by_layer.relative(runs),
        "1",
        "distance of the layer's weights from their init, relative to their norm there",
    )
    return dataset.merge(layer_distances(list(networks.parts(net)), by_part.relative(runs)))


def probe_images(images: ImageSet, limit: int | None) -> Tensor:
    """The same `limit` training images each time, or all of them: (n, channel, row, column), uint8."""
    if limit is None or limit >= len(images.train_images):
        return images.train_images
    chosen = np.sort(np.random.default_rng(0).permutation(len(images.train_images))[:limit])
    return images.train_images[torch.from_numpy(chosen)]


def sampled_units(net: networks.Network, images: Tensor, limit: int | None) -> list[Tensor]:
    """For every block, the same `limit` of its units each time, or all of them: indices over (channel, row, column)."""
    return [
        torch.from_numpy(np.sort(np.random.default_rng(number).permutation(block[0].numel())[:limit])).to(images.device)
        for number, block in enumerate(_blocks(net, images), start=1)
    ]


def _blocks(net: networks.Network, images: Tensor) -> list[Tensor]:
    """Activations of the first image, for their shapes."""
    with torch.inference_mode():
        return net.blocks(networks.inputs(images[:1], 1.0))


def activations(
    net: networks.Network, probe: Tensor, images: ImageSet, units: list[Tensor], normalise: bool
) -> tuple[list[Tensor], NDArray[np.float64]]:
    """Activations of the chosen units of every block, each (n, chosen units), and the share of all that is not zero.

    probe: (n, channel, row, column), integer levels of images of this set. units: for every block, indices
    into its units, counted over (channel, row, column). normalise: divide each example's activations of
    a whole block by their norm. The shares have the shape (blocks,).
    """
    columns: list[list[Tensor]] = [[] for _ in units]
    active = torch.zeros(len(units), dtype=torch.float64, device=probe.device)
    for part in probe.split(BATCH):
        with torch.inference_mode():
            blocks = net.blocks(networks.inputs(part, images.white_level, images.moments))
            for index, (block, chosen, parts) in enumerate(zip(blocks, units, columns, strict=True)):
                values = block.flatten(1)
                active[index] += values.count_nonzero().double() / values.shape[1]
                if normalise:
                    values = torch.nn.functional.normalize(values, dim=1)
                parts.append(values[:, chosen])
    return [torch.cat(parts) for parts in columns], active.cpu().numpy() / len(probe)


class _Distances:
    """Norms of groups of weights at the first snapshot of each run, and how far each snapshot is from there."""

    def __init__(self) -> None:
        self._first: list[list[Tensor]] = []
        self._moved: list[list[float]] = []
        self._start: list[list[float]] = []

    def add(self, groups: dict[str, list[Tensor]], *, first: bool) -> None:
        """Take the weights of the next snapshot; first: of a run."""
        if first:
            self._first = [[weight.clone() for weight in group] for group in groups.values()]
        pairs = [
            list(zip(group, start, strict=True)) for group, start in zip(groups.values(), self._first, strict=True)
        ]
        self._moved.append([_norm(weight.double() - start.double() for weight, start in group) for group in pairs])
        self._start.append([_norm(start.double() for _, start in group) for group in pairs])

    def relative(self, runs: tuple[int, ...]) -> NDArray[np.float64]:
        """The relative distances of all snapshots, of shape (arm, seed, snapshot_step, group)."""
        return relative(np.reshape(self._moved, (*runs, -1)), np.reshape(self._start, (*runs, -1)))


def _norm(parts: Iterator[Tensor]) -> float:
    return float(torch.stack([torch.linalg.vector_norm(part) for part in parts]).norm())
