"""The mini-batches of an image classifier: drawn by a seed, gathered and augmented on the device that trains.

What an epoch draws is a function of the seed and the number of the epoch alone. So a run can start again anywhere, and
a seed has the same order, crops and flips on every device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from largestep.data.image_set import ImageSet
from largestep.models.networks import inputs
from largestep.recording import AUGMENTATION, EVALUATION, LABEL_NOISE, ORDER

if TYPE_CHECKING:
    from largestep.config.training import ImageTraining

# On which the training loss is evaluated: five mini-batches of the published code.
EVALUATED = 1280


class Batches:
    """Mini-batches of one epoch at a time, by their position in it.

    Every epoch has its own order and drops the last incomplete batch. Of the labels the share `label_noise`, on
    average, is drawn anew from all classes each time. Augmentation pads an image with black, crops it at random to
    its size and flips it with probability one half.
    """

    def __init__(self, images: ImageSet, training: ImageTraining, device: torch.device) -> None:
        self.count = len(images.train_images) // training.batch_size
        self._size = training.batch_size
        self._label_noise = training.label_noise
        self._padding, self._flips = training.augmentation.crop_padding, training.augmentation.flip
        self._classes, self._white_level = images.classes, images.white_level
        # On the device before a graph is captured.
        self._moments = None if images.moments is None else images.moments.to(device)
        self._labels = images.train_labels.numpy()
        self._images = images.train_images.to(device)
        rows, columns = images.size
        self._rows, self._columns = torch.arange(rows, device=device), torch.arange(columns, device=device)
        # Refilled in place each epoch: a captured graph reads them where they are.
        shape = (self.count, self._size)
        self._order = torch.zeros(shape, dtype=torch.int64, device=device)
        self._drawn_labels = torch.zeros(shape, dtype=torch.int64, device=device)
        self._corners = torch.zeros((*shape, 2), dtype=torch.int64, device=device)
        self._flipped = torch.zeros(shape, dtype=torch.bool, device=device)

    def begin(self, seed: int, epoch: int) -> None:
        """Draw an epoch."""
        n, shape = len(self._labels), (self.count, self._size)
        order = np.random.default_rng([ORDER, seed, epoch]).permutation(n)[: self.count * self._size].reshape(shape)
        self._order.copy_(torch.from_numpy(order))
        self._drawn_labels.copy_(torch.from_numpy(self._noisy(self._labels[order], seed, epoch)))
        if self._padding or self._flips:
            generator = np.random.default_rng([AUGMENTATION, seed, epoch])
            corners, flipped = self._augmentation(generator, shape)
            self._corners.copy_(corners)
            self._flipped.copy_(flipped)

    def take(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (batch, channel, row, column) and labels (batch,) of the mini-batch at a position, of shape (1,)."""
        chosen = self._order.index_select(0, position)[0]
        images = self._images.index_select(0, chosen)
        if self._padding or self._flips:
            corners = self._corners.index_select(0, position)[0]
            images = self._augmented(images, corners, self._flipped.index_select(0, position)[0])
        taken = inputs(images, self._white_level, self._moments)
        return taken, self._drawn_labels.index_select(0, position)[0]

    def evaluated(self, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Inputs (n, channel, row, column) and labels (n,) of up to `EVALUATED` training images, no image twice.

        Which they are, and their crops and flips, is drawn anew for every step. The labels are those of the data set.
        """
        generator = np.random.default_rng([EVALUATION, seed, step])
        chosen = torch.from_numpy(generator.permutation(len(self._labels))[:EVALUATED])
        images = self._images.index_select(0, chosen.to(self._images.device))
        if self._padding or self._flips:
            corners, flipped = self._augmentation(generator, (len(chosen),))
            images = self._augmented(images, corners.to(images.device), flipped.to(images.device))
        labels = torch.from_numpy(self._labels).index_select(0, chosen)
        return inputs(images, self._white_level, self._moments), labels.to(images.device)

    def _augmentation(self, generator: np.random.Generator, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Upper left corners of the crops, (*shape, 2), and which are flipped, of a shape."""
        corners = generator.integers(2 * self._padding + 1, size=(*shape, 2))
        flipped = generator.random(shape) < (0.5 if self._flips else 0.0)
        return torch.from_numpy(corners), torch.from_numpy(flipped)

    def _augmented(self, images: Tensor, corners: Tensor, flipped: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(images, (self._padding,) * 4)
        rows = corners[:, :1] + self._rows
        across = torch.where(flipped[:, None], self._columns.flip(0), self._columns)
        columns = corners[:, 1:] + across
        example = torch.arange(len(images), device=images.device)[:, None, None]
        # The channel comes last in what indexing gives, which is the order in memory that convolutions like.
        return padded[example, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

    def _noisy(self, labels: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
        if not self._label_noise:
            return labels
        generator = np.random.default_rng([LABEL_NOISE, seed, epoch])
        redrawn = generator.random(labels.shape) < self._label_noise
        return np.where(redrawn, generator.integers(self._classes, size=labels.shape), labels)
