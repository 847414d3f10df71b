"""The generators that code which is not ours draws from: those of torch, NumPy and Python that have no owner."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def preserved() -> Iterator[None]:
    """For the length of the block the three generators may be drawn from and seeded; afterwards they are as before."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def seed_host(seed: int) -> None:
    """Seed the three generators, on the CPU; seed: from 0 to 2^32 - 1."""
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach the generators of GPUs too
    np.random.seed(seed)
    random.seed(seed)


def seed_all(seed: int) -> None:
    """As `seed_host`, and torch's generators of GPUs, once CUDA has started: when the network is on its device."""
    seed_host(seed)
    # Until CUDA has started torch would keep every seed, with a stack trace.
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
