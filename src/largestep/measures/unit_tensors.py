"""`units.unit_statistics` and the effective rank of a block, on the device that holds its activations."""

from __future__ import annotations

import torch
from torch import Tensor

from largestep.measures.thresholds import effective_rank
from largestep.measures.units import UnitStatistics, lost, orders
from largestep.registered import Measure, Row

MEASURES = {"feature_effective_rank": Measure(panel=None, row=Row("effective rank of the features"))}


def unit_statistics(activations: Tensor) -> UnitStatistics:
    """Activity and redundancy of units, as `units.unit_statistics` defines them.

    activations: (examples, units), float32. Correlations are taken in float64.
    """
    units = activations.shape[1]
    if not bool(activations.isfinite().all()):
        return lost(units)
    count = activations.count_nonzero(0)
    alive = count.nonzero()[:, 0]
    correlation = torch.zeros((units, units), dtype=torch.float64, device=activations.device)
    if len(alive) > 1:
        chosen = activations[:, alive]
        # By its range: the mean of equal values may be off by a rounding error, which would be correlated.
        varies = chosen.amax(0) > chosen.amin(0)
        centred = chosen.double()
        centred -= centred.mean(0)
        norms = torch.linalg.vector_norm(centred, dim=0)
        scaled = torch.where(varies & (norms > 0), centred / norms, 0.0)
        correlation[alive[:, None], alive] = (scaled.T @ scaled).abs().clamp_max(1.0)
    later = correlation.triu(diagonal=1).amax(1)
    places = torch.from_numpy(orders(units)).to(activations.device)
    # One order after the other: all at once would take sixteen times the memory.
    reordered = torch.stack([torch.where(each > each[:, None], correlation, 0.0).amax(1) for each in places])
    negative = float((activations < 0).double().mean())
    return UnitStatistics(count.to(torch.int32).cpu().numpy(), later.cpu().numpy(), reordered.cpu().numpy(), negative)


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
