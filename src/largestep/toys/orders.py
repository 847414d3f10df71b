"""The examples of every step and the noise on their labels: streams of random numbers, one for each seed.

A seed is the same stream in all cells and studies, so that they can be compared in pairs.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from largestep.recording import LABEL_NOISE, ORDER

Array = NDArray[np.float64]


class Orders:
    """The orders of several runs, (runs, ...); by default that of published SGD."""

    def __init__(
        self,
        seeds: Iterable[int],
        examples: int,
        batch_size: int | str = 1,
        sampling: str = "with_replacement",
    ) -> None:
        self._orders = [Order(np.random.default_rng([ORDER, seed]), examples, batch_size, sampling) for seed in seeds]

    def take(self, count: int) -> NDArray[np.int64]:
        """The examples of the next `count` steps: (runs, count, batch), or (runs, count, 0) for all."""
        return np.stack([order.take(count) for order in self._orders])


class Noise:
    """Standard normal noise on the labels of several runs."""

    def __init__(self, seeds: Iterable[int]) -> None:
        self._streams = [np.random.default_rng([LABEL_NOISE, seed]) for seed in seeds]

    def take(self, scale: float, count: int, examples: int) -> Array:
        """That of the next `count` steps, times scale: (runs, count, examples), or (runs, count, 0) for no noise."""
        if scale == 0.0:
            return np.zeros((len(self._streams), count, 0))
        return np.stack([scale * stream.standard_normal((count, examples)) for stream in self._streams])


class Order:
    """The examples of every step of one run, drawn as they are needed; how they are cut into blocks does not count.

    With and without replacement speak of one batch: the next one is drawn afresh. A reshuffled run goes through
    one permutation after the other and a cyclic one repeats its first; batches are cut from these end to end,
    so that one spans two epochs where its size does not divide the number of examples.
    """

    def __init__(self, generator: np.random.Generator, examples: int, batch_size: int | str, sampling: str) -> None:
        self._generator, self._examples, self._batch, self._sampling = generator, examples, batch_size, sampling
        # What is left of the permutations drawn so far; all of the only one where it is repeated.
        self._left = np.empty(0, dtype=np.int64)
        if self._sampling == "cyclic":
            self._left = generator.permutation(examples)

    def take(self, count: int) -> NDArray[np.int64]:
        """The examples of the next `count` steps: (count, batch), or (count, 0), the kernels' word for all."""
        examples, batch = self._examples, self._batch
        if isinstance(batch, str):
            return np.zeros((count, 0), dtype=np.int64)
        if self._sampling == "cyclic":
            orders = np.resize(self._left, count * batch)
            self._left = np.roll(self._left, -count * batch)
            return orders.reshape(count, batch)
        if self._sampling == "reshuffled":
            epochs = max(0, -(-(count * batch - len(self._left)) // examples))
            more = self._generator.permuted(np.tile(np.arange(examples), (epochs, 1)), axis=1)
            stream = np.concatenate([self._left, more.ravel()])
            orders, self._left = np.split(stream, [count * batch])
            return orders.reshape(count, batch)
        if self._sampling == "with_replacement" or batch == 1:
            return self._generator.integers(examples, size=(count, batch))
        everyone = np.broadcast_to(np.arange(examples), (count, examples))
        return self._generator.permuted(everyone, axis=1)[:, :batch]
