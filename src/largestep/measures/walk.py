"""A walk of SGD through the landscape of its loss (Xing et al. 2018): the lines of its updates, and its turns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# On the line of an update, 0 before it and 1 after it: its ends and the tenths between.
PLACES = np.arange(11) / 10


def crosses(lines: Array) -> Array:
    """Which lines (..., places) lead across a valley: 1 if the loss is lowest between the ends, NaN if one is NaN."""
    lowest, ends = lines[..., 1:-1].min(axis=-1), np.minimum(lines[..., 0], lines[..., -1])
    return np.where(np.isnan(lines).any(axis=-1), np.nan, lowest < ends)


def cosines(path: Array) -> Array:
    """Cosine of the angle between each update of a path (..., updates + 1, p) and the next, (..., updates).

    NaN of the last update, and where one of the two is zero or not finite.
    """
    updates = path[..., 1:, :] - path[..., :-1, :]
    before, after = updates[..., :-1, :], updates[..., 1:, :]
    squares = np.einsum("...p,...p->...", updates, updates)
    norms = np.sqrt(squares[..., :-1]) * np.sqrt(squares[..., 1:])
    turns = np.full(updates.shape[:-1], np.nan)
    products = np.einsum("...p,...p->...", before, after)
    turns[..., :-1] = np.divide(products, norms, out=np.full_like(norms, np.nan), where=norms > 0.0)
    return turns
