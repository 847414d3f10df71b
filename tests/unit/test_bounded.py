"""A network that ends in a sigmoid, tanh or clamp is found, whatever its init, and no other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from largestep.images.bounded import bounds

IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
INITS = 8


class Cosine(nn.Module):
    """Bounded by 16, which is wide enough to learn with, though random draws come nowhere near it."""

    def __init__(self, units: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, units))

    def forward(self, features: Tensor) -> Tensor:
        return 16 * nn.functional.normalize(features) @ nn.functional.normalize(self.weight).T


def net(
    classes: int, end: nn.Module | None = None, units: int = 32, head: Callable[..., nn.Module] = nn.Linear
) -> nn.Module:
    body = [nn.Flatten(), nn.Linear(64, units), nn.LayerNorm(units), nn.ReLU()]
    return nn.Sequential(*body, head(units, classes), end or nn.Identity()).eval()


def found(tried: nn.Module) -> tuple[float, float] | None:
    with torch.no_grad():
        return bounds(tried.parameters(), lambda: tried(IMAGES))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_of_many_inits_no_sound_network_is_refused(classes: int) -> None:
    """Their outputs may lie between 0 and 1 by chance."""
    between = 0
    for _ in range(INITS):
        sound = net(classes)
        between += bool(((sound(IMAGES) > 0) & (sound(IMAGES) < 1)).all())
        assert found(sound) is None
        assert found(net(classes, head=Cosine, units=256)) is None
    assert between or classes > 2


@pytest.mark.parametrize(
    "end",
    [
        nn.ReLU(),
        nn.ReLU6(),
        nn.Hardtanh(-4, 4),
        nn.LogSoftmax(1),
        nn.LayerNorm(10),
        nn.BatchNorm1d(10),
        nn.Linear(10, 10),
    ],
    ids=lambda end: type(end).__name__,
)
def test_ends_that_leave_the_loss_its_way_to_0(end: nn.Module) -> None:
    assert found(net(10, end.eval())) is None


def test_a_head_that_starts_at_0_is_a_head() -> None:
    for bias in (True, False):
        head = nn.Linear(32, 10, bias=bias)
        for parameter in head.parameters():
            nn.init.zeros_(parameter)
        assert found(net(10, head=lambda *_, head=head: head)) is None


@pytest.mark.parametrize(
    ("end", "ends"),
    [
        (nn.Sigmoid(), (0, 1)),
        (nn.Tanh(), (-1, 1)),
        (nn.Hardtanh(0, 1), (0, 1)),
        (nn.Hardsigmoid(), (0, 1)),
        (nn.Softsign(), (-1, 1)),
    ],
    ids=lambda end: type(end).__name__,
)
@pytest.mark.parametrize("classes", [2, 10])
def test_bounded_ends_are_found_and_nothing_is_changed(end: nn.Module, ends: tuple[float, float], classes: int) -> None:
    for _ in range(INITS // 4):
        refused = net(classes, end)
        before = {name: tensor.clone() for name, tensor in refused.state_dict().items()}
        assert found(refused) == pytest.approx(ends, abs=1e-2)
        assert all(torch.equal(tensor, before[name]) for name, tensor in refused.state_dict().items())


def test_parameters_are_put_back_when_the_network_fails() -> None:
    failing = net(2)
    before = [parameter.clone() for parameter in failing.parameters()]

    def fails() -> Tensor:
        raise KeyError

    with pytest.raises(KeyError):
        bounds(failing.parameters(), fails)
    assert all(map(torch.equal, before, failing.parameters()))
