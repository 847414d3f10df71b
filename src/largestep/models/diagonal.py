"""The diagonal linear network h(x) = <u * v, x> as a module of torch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray


def network(parameters: NDArray[np.float64]) -> torch.nn.Module:
    """In float64, at parameters u, then v: (2 d,)."""
    return _Product(*np.split(parameters, 2))


class _Product(torch.nn.Module):
    def __init__(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> None:
        super().__init__()
        self.u, self.v = torch.nn.Parameter(torch.tensor(u)), torch.nn.Parameter(torch.tensor(v))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return (inputs @ (self.u * self.v))[:, None]
