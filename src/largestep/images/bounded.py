"""Does a network end in a function that is bounded, such as a sigmoid, so that its loss cannot come near 0?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# Standard deviation of what takes the place of a parameter: it sends a sigmoid to its ends, and logits far away.
LARGE = 1e3
# Of the cross-entropy, in nats: what bounded outputs may leave of it at least. Of two classes a tanh leaves 0.127.
FLOOR = 0.1
# So many of the outputs lie at the two ends, so near as a share of the interval.
AT_ENDS, NEAR = 0.8, 0.01


def bounds(parameters: Iterable[nn.Parameter], outputs: Callable[[], Tensor | None]) -> tuple[float, float] | None:
    """The ends of the interval that no parameter takes the outputs out of; None where there is none, or a wide one.

    parameters: of the network, each in turn drawn anew and large, the last first, then put back. outputs: (n, classes)
    with the parameters as they are, or None where the network fails. Of a linear head one parameter is enough. Outputs
    that are bounded without lying at the ends, as of a cosine of high dimension, are not found.
    """
    generator = torch.Generator().manual_seed(0)
    seen: list[Tensor] = []
    low, high = math.inf, -math.inf
    for parameter in reversed(list(parameters)):
        with _drawn_large(parameter, generator):
            found = outputs()
        if found is None or bool(found.isnan().any()):
            continue
        seen.append(found)
        low, high = min(low, float(found.min())), max(high, float(found.max()))
        if bool(found.isinf().any()) or least_loss(low, high, found.shape[1]) <= FLOOR:
            return None
    near = NEAR * (high - low)
    at_ends = [((found - low <= near) | (high - found <= near)).float().mean().item() for found in seen]
    return (low, high) if high > low and max(at_ends) >= AT_ENDS else None


def least_loss(low: float, high: float, classes: int) -> float:
    """The cross-entropy of an image whose own class has the output `high` and all others `low`."""
    return math.log1p((classes - 1) * math.exp(low - high))


@contextmanager
def _drawn_large(parameter: nn.Parameter, generator: torch.Generator) -> Iterator[None]:
    """For the length of the block the parameter has other values; afterwards, its own to the last bit."""
    own = parameter.detach().clone()
    try:
        with torch.no_grad():
            parameter.copy_(LARGE * torch.randn(parameter.shape, generator=generator))
        yield
    finally:
        with torch.no_grad():
            parameter.copy_(own)
