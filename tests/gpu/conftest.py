"""What runs on a GPU runs on the CPU as well, where that shows that the tests are right."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType

import pytest
import torch

# Seconds for one test; the first of a card compiles.
LIMIT_S = 90


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no GPU here")
    return torch.device(request.param)


@pytest.fixture
def gpu() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU here")
    return torch.device("cuda")


@pytest.fixture(autouse=True)
def within_its_time() -> Iterator[None]:
    """A card that hangs costs one test."""

    def ended(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done within {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, ended)
    # Of the CPU's time on a busy machine nothing is known.
    signal.alarm(LIMIT_S if torch.cuda.is_available() else 0)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
