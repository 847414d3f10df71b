"""What the bench compares with: the same computations written the way most people would."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

Array = NDArray[np.float64]


def sgd(net: nn.Module, x: Tensor, y: Tensor, indices: NDArray[np.int64], step_sizes: Array) -> None:
    """Train a network by autograd, one example a step, on the mean square."""
    optimizer = torch.optim.SGD(net.parameters(), lr=step_sizes[0])
    for i, step_size in zip(indices, step_sizes, strict=True):
        optimizer.param_groups[0]["lr"] = step_size
        loss = ((net(x[i]) - y[i]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def diagonal_sgd(
    u: Array, v: Array, x: Array, y: Array, step_sizes: Array, order: np.random.Generator
) -> tuple[Array, Array]:
    """Train a diagonal linear network on half the mean square, drawing one example a step."""
    for step_size in step_sizes:
        i = order.integers(len(x))
        error = x[i] @ (u * v) - y[i]
        grad_u, grad_v = error * x[i] * v, error * x[i] * u
        u, v = u - step_size * grad_u, v - step_size * grad_v
    return u, v


class Pictures(Dataset):
    """Images (n, row, column, channel) and labels, cropped and flipped one by one as Pillow images."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self.images, self.labels = images, labels
        side = images.shape[1]
        crop, flip = transforms.RandomCrop(side, padding=4), transforms.RandomHorizontalFlip()
        self.transform = transforms.Compose([crop, flip, transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def loader(images: NDArray[np.uint8], labels: NDArray[np.int64], batch: int) -> DataLoader:
    """Mini-batches from four workers."""
    pictures = Pictures(images, labels)
    return DataLoader(pictures, batch, shuffle=True, drop_last=True, num_workers=4, persistent_workers=True)


def image_sgd(
    net: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], step_size: float, penalty: float, device: torch.device
) -> list[float]:
    """Train a classifier for an epoch, the squared norm of its weights in the loss; returns the losses."""
    optimizer = torch.optim.SGD(net.parameters(), lr=step_size)
    losses = []
    for images, labels in batches:
        images, labels = images.to(device), labels.to(device)
        loss = nn.functional.cross_entropy(net(images), labels)
        total = loss + 0.5 * penalty * sum(p.pow(2).sum() for p in net.parameters())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def jacobian_ranks(nets: Sequence[nn.Module], inputs: Tensor, threshold: float) -> list[int]:
    """Rank of the Jacobian of every network, by one backward pass per example."""
    ranks = []
    for net in nets:
        rows = []
        for x in inputs:
            net.zero_grad()
            net(x).squeeze().backward()
            rows.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]).numpy())
        ranks.append(_rank(np.vstack(rows), threshold))
    return ranks


def diagonal_ranks(us: Array, vs: Array, inputs: Array, thresholds: Sequence[float]) -> list[list[int]]:
    """Rank of [X * u, X * v] of every diagonal network, for every threshold."""
    ranks = []
    for u, v in zip(us, vs, strict=True):
        values = np.linalg.svd(np.hstack([inputs * u, inputs * v]))[1]
        ranks.append([int((values / values[0] > threshold).sum()) for threshold in thresholds])
    return ranks


def block_sparsity(
    net: Any, loader: Iterable[tuple[Tensor, Tensor]], units: Sequence[NDArray[np.int64]], threshold: float
) -> list[float]:
    """Feature sparsity of every block: for each, a pass over the loader, then greedy deletion."""
    sparsities = []
    for block, chosen in enumerate(units):
        parts = []
        with torch.no_grad():
            for images, _ in loader:
                parts.append(net.blocks(images)[block].flatten(1).numpy()[:, chosen])
        sparsities.append(_sparsity(np.concatenate(parts), threshold))
    return sparsities


def _rank(matrix: Array, threshold: float) -> int:
    values = np.linalg.svd(matrix)[1]
    return int((values / values[0] > threshold).sum())


def _sparsity(activations: NDArray[np.floating], threshold: float) -> float:
    kept = activations[:, (activations > 0).any(axis=0)]
    correlation = np.abs(np.corrcoef(kept.T))
    np.fill_diagonal(correlation, 0.0)
    i = 0
    while i < len(correlation):
        if (correlation[i] > threshold).any():
            correlation = np.delete(np.delete(correlation, i, axis=0), i, axis=1)
            kept = np.delete(kept, i, axis=1)
        else:
            i += 1
    return float((kept != 0).sum() / activations.size)
