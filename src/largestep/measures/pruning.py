"""Deleting hidden units of a dense ReLU network, so that what is called redundant can be put to the test.

A unit that is deleted is replaced by the least-squares multiple of its twin, the later active unit of its layer with
which it correlates most: of two correlated units the measure of sparsity counts the later (`units.feature_sparsity`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from largestep.measures.units import absolute_correlation, normalised

Array = NDArray[np.float64]
Chosen = Sequence[NDArray[np.bool_]]
# Weights (rows, columns) and biases (rows,), None without, of every layer from the input on.
Layers = list[tuple[Array, Array | None]]
NO_TWIN = -1
# Share of the loss of the best constant that the units which are needed are worth.
TOLERANCE = 0.01


class Twins(NamedTuple):
    """What stands for each unit of a hidden layer, all (units,).

    correlation: the largest absolute one with a later active unit, 0 where there is none, infinite of a unit that is
    active on no example. twin: that later unit, or `NO_TWIN`. factor, constant: what the twin's activation is
    multiplied by, and what is added, to stand for the unit's.
    """

    correlation: Array
    twin: NDArray[np.int64]
    factor: Array
    constant: Array


def activations(layers: Layers, inputs: Array) -> tuple[list[Array], Array]:
    """Activations of every hidden layer, each (n, units), and the outputs (n, outputs), on inputs (n, d)."""
    blocks, current = [], inputs
    for place, (weights, biases) in enumerate(layers, start=1):
        current = np.einsum("nk,jk->nj", current, weights)
        current = current if biases is None else current + biases
        if place < len(layers):
            current = np.maximum(current, 0.0)
            blocks.append(current)
    return blocks, current


def dead(blocks: Sequence[Array]) -> bool:
    """Whether some hidden layer (n, units) is not activated by any example, so that the network is constant."""
    return any(not block.any() for block in blocks)


def twins(layers: Layers, inputs: Array, normalise: bool) -> list[Twins]:
    """Those of every hidden layer on inputs (n, d); normalise: as for the measure of sparsity.

    A constant is taken where the next layer has biases to hold it.
    """
    blocks, _ = activations(layers, inputs)
    by_layer = []
    for block, (_, biases) in zip(blocks, layers[1:], strict=True):
        compared = np.asarray(normalised(block), dtype=np.float64) if normalise else block
        by_layer.append(_of_block(block, compared, biases is not None))
    return by_layer


def _of_block(block: Array, compared: Array, constants: bool) -> Twins:
    active = np.count_nonzero(compared, axis=0) > 0
    later = np.triu(absolute_correlation(compared, np.flatnonzero(active)), k=1)
    correlation, twin = later.max(axis=1), later.argmax(axis=1)
    twin = np.where(correlation > 0.0, twin, NO_TWIN)
    mean = block.mean(axis=0) if constants else np.zeros(block.shape[1])
    centred = block - mean
    other = np.where(twin == NO_TWIN, 0.0, centred[:, twin])
    squares = np.sum(other**2, axis=0)
    factor = np.divide(np.sum(centred * other, axis=0), squares, out=np.zeros_like(squares), where=squares > 0.0)
    constant = mean - factor * np.where(twin == NO_TWIN, 0.0, mean[twin])
    return Twins(np.where(active, correlation, np.inf), twin, factor, constant)


def redundant(by_layer: Sequence[Twins], threshold: float) -> list[NDArray[np.bool_]]:
    """Which units the measure of sparsity does not count at a threshold of the correlation, by hidden layer."""
    return [each.correlation > threshold for each in by_layer]


def most_redundant(by_layer: Sequence[Twins], count: int) -> list[NDArray[np.bool_]]:
    """So many units of all hidden layers: inactive ones first, then by falling correlation, then in their order."""
    correlation = np.concatenate([each.correlation for each in by_layer])
    chosen = np.zeros(len(correlation), dtype=np.bool_)
    chosen[np.argsort(-correlation, kind="stable")[:count]] = True
    return np.split(chosen, np.cumsum([len(each.correlation) for each in by_layer])[:-1])


def at_random(chosen: Chosen, generator: np.random.Generator) -> list[NDArray[np.bool_]]:
    """As many units of every layer as are chosen, drawn at random."""
    return [generator.permutation(each) for each in chosen]


def pruned(layers: Layers, by_layer: Sequence[Twins], deleted: Chosen) -> Layers:
    """The layers with the weights out of deleted units moved to what stands for these; arguments by hidden layer."""
    changed = [(weights.copy(), None if biases is None else biases.copy()) for weights, biases in layers]
    for (weights, biases), each, gone in zip(changed[1:], by_layer, deleted, strict=True):
        # In their order: a twin that is deleted too, which is later, hands on what it was given.
        for unit in np.flatnonzero(gone):
            out = weights[:, unit].copy()
            weights[:, unit] = 0.0
            if each.twin[unit] != NO_TWIN:
                weights[:, each.twin[unit]] += each.factor[unit] * out
            if biases is not None:
                biases += each.constant[unit] * out
    return changed
