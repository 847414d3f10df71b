"""`units.unit_statistics` and the effective rank of a block, on the device that holds its activations."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from largestep.measures.thresholds import effective_rank
from largestep.registered import Measure, Row

MEASURES = {"feature_effective_rank": Measure(panel=None, row=Row("effective rank of the features"))}


def unit_statistics(activations: Tensor) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Activity and redundancy of units, as `units.unit_statistics` defines them.

    activations: (examples, units), float32. Correlations are taken in float64.
    """
    units = activations.shape[1]
    if not bool(activations.isfinite().all()):
        return np.zeros(units, dtype=np.int32), np.full(units, np.nan)
    active = (activations > 0).any(0)
    count = torch.where(active, activations.count_nonzero(0), 0)
    later = torch.zeros(units, dtype=torch.float64, device=activations.device)
    alive = active.nonzero()[:, 0]
    if len(alive) > 1:
        chosen = activations[:, alive]
        # By its range: the mean of equal values may be off by a rounding error, which would be correlated.
        varies = chosen.amax(0) > chosen.amin(0)
        centred = chosen.double()
        centred -= centred.mean(0)
        norms = torch.linalg.vector_norm(centred, dim=0)
        scaled = torch.where(varies & (norms > 0), centred / norms, 0.0)
        correlation = (scaled.T @ scaled).abs().triu(diagonal=1)
        later[alive] = correlation.amax(1).clamp_max(1.0)
    return count.to(torch.int32).cpu().numpy(), later.cpu().numpy()


def feature_effective_rank(activations: Tensor) -> float:
    """Effective rank (Roy and Vetterli 2007) of activations (examples, units); NaN where the run diverged.

    By the eigenvalues of their Gram matrix in float64: what it loses of the smallest singular values does not count.
    """
    if not bool(activations.isfinite().all()):
        return float("nan")
    values = activations.double()
    gram = values.T @ values if values.shape[0] >= values.shape[1] else values @ values.T
    singular = torch.linalg.eigvalsh(gram).clamp_min(0.0).sqrt().flip(0)
    return float(effective_rank(singular.cpu().numpy()))
