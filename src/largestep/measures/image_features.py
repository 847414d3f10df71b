"""Features of an image classifier: activity and redundancy of its units, distance from the init (section 4)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep.measures.distance import layer_distances, relative_distance
from largestep.measures.units import normalised, unit_statistics_of
from largestep.models import resnet

# Images that pass through the network at once; it bounds memory.
BATCH = 512
Images = NDArray[np.uint8]


def features(spec: dict[str, Any], data: xr.Dataset, snapshots: xr.Dataset, threads: int) -> xr.Dataset:
    """Statistics of a fixed random sample of the units of blocks 1 to 5, on the whole training set.

    A unit is one channel at one position. The network is in evaluation mode, the images are not augmented.
    Also the distances of the weights of the stem, the stages and the head from the init.
    """
    resnet.prepare(threads)
    measures = spec["measures"]
    net = resnet.draw(spec["train"]["model"], data, seed=0).eval()
    images, white_level = data["train_images"].values, float(data["white_level"])
    units = _sample(net, images, measures["units_per_block"])
    parameters = snapshots["parameters"].values
    runs = parameters.shape[:3]

    def blocks_of(flat: NDArray[np.float32]) -> list[NDArray[np.floating]]:
        resnet.load(net, flat)
        return activations(net, images, white_level, units, measures["normalise_activations"])

    flats = parameters.reshape(-1, parameters.shape[-1])
    bar = tqdm(flats, desc=spec["cell"], unit="snapshot", mininterval=2.0, ascii=True)
    found = unit_statistics_of(map(blocks_of, bar), runs, len(images), "residual stage of the unit, 5 for pooled")
    return found.merge(_distances(net, parameters))


def activations(
    net: resnet.ResNet18, images: Images, white_level: float, units: list[NDArray[np.int64]], normalise: bool
) -> list[NDArray[np.floating]]:
    """Activations of the chosen units of every block, each of shape (n, chosen units).

    images: (n, channel, row, column), integer levels up to white_level. units: for every block, indices
    into its units, counted over (channel, row, column). normalise: divide each example's activations of
    a whole block by their norm.
    """
    found: list[list[NDArray[np.floating]]] = [[] for _ in units]
    for part in torch.from_numpy(images).split(BATCH):
        with torch.inference_mode():
            blocks = net.blocks(resnet.inputs(part, white_level))
        for block, chosen, parts in zip(blocks, units, found, strict=True):
            values = block.flatten(1).numpy()
            parts.append((normalised(values) if normalise else values)[:, chosen])
    return [np.concatenate(parts) for parts in found]


def _sample(net: resnet.ResNet18, images: Images, limit: int | None) -> list[NDArray[np.int64]]:
    """For every block, the same `limit` of its units each time, or all of them."""
    with torch.inference_mode():
        sizes = [block[0].numel() for block in net.blocks(resnet.inputs(torch.from_numpy(images[:1]), 1.0))]
    return [
        np.sort(np.random.default_rng(block).permutation(size)[: size if limit is None else limit])
        for block, size in enumerate(sizes, start=1)
    ]


def _distances(net: resnet.ResNet18, parameters: NDArray[np.float32]) -> xr.Dataset:
    """Distances of parts of the network, for snapshots (arm, seed, snapshot_step, p); normalisation is left out."""
    runs, snapshots = parameters.shape[:2], parameters.shape[2]
    moved = []
    for run in parameters.reshape(-1, *parameters.shape[2:]):
        weights = [_weights(net, flat) for flat in run]
        moved.append(relative_distance(np.stack([each[name] for each in weights]) for name in weights[0]))
    return layer_distances(list(weights[0]), np.stack(moved).reshape(*runs, snapshots, -1))


def _weights(net: resnet.ResNet18, flat: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Weights of convolutions and of the head, by part of the network from the input on; of each part (size,)."""
    resnet.load(net, flat)
    stages = {f"stage {index}": stage for index, stage in enumerate(net.stages, start=1)}
    parts = {"stem": net.stem, **stages, "head": net.head}
    # Biases and the parameters of normalisation have one dimension.
    return {
        name: torch.cat([weight.detach().flatten() for weight in part.parameters() if weight.dim() > 1]).numpy()
        for name, part in parts.items()
    }
