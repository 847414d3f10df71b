"""What `make precision` says: of a gradient in each arithmetic, and of a difference over seeds."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from largestep.data import digits
from tests.conftest import REPOSITORY
from tests.settings import as_settings


@pytest.fixture
def precision(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    import precision

    return precision


@pytest.fixture
def gradients(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    import gradients

    return gradients


@pytest.mark.parametrize(
    ("low", "high", "seeds", "said"),
    [
        (-1.9, 1.9, 16, "agree"),
        (0.1, 1.9, 16, "agree"),  # a difference that is there, and too small to matter
        (-2.0, 2.0, 16, "agree"),
        (0.1, 2.1, 16, "DIFFER"),
        (-5.0, -0.1, 16, "DIFFER"),
        (2.5, 3.0, 16, "DIFFER"),
        (-0.1, 2.1, 10, "cannot tell: about 11 seeds would"),
        (-4.0, 4.0, 10, "cannot tell: about 102 seeds would"),
        (-1.0, 7.0, 10, "cannot tell: about 102 seeds would"),
        (-4.5, 3.1, 2, "cannot tell: about 3 seeds would"),
        (0.0, 6.0, 16, "cannot tell: about 103 seeds would"),
    ],
)
def test_the_verdict_is_that_of_the_whole_interval(
    precision: ModuleType, low: float, high: float, seeds: int, said: str
) -> None:
    assert precision.verdict(low, high, seeds) == said


@pytest.mark.parametrize("scatter", [3.0, 6.0])
def test_with_as_many_seeds_as_it_says_it_can_tell(precision: ModuleType, scatter: float) -> None:
    """In nine of ten cases, of no difference; each precision scatters by itself, as chaotic runs do."""
    few = 12
    half = stats.t.ppf(0.975, few - 1) * scatter * np.sqrt(2 / few)
    said = precision.verdict(-half, half, few)
    assert said.startswith("cannot tell")
    enough = int(said.split()[3])
    draw = np.random.default_rng(0)
    told = [precision.compared(*draw.normal(60.0, scatter, (2, enough)))[1] for _ in range(400)]
    assert told.count("agree") == pytest.approx(0.9 * 400, abs=0.05 * 400)


def test_a_difference_of_the_precisions_is_found_in_pairs(precision: ModuleType) -> None:
    exact = np.random.default_rng(0).normal(60.0, 10.0, 20)
    assert precision.compared(exact, exact + 1.0)[1] == "agree"
    shown, said = precision.compared(exact, exact + 3.0 + 0.1 * np.arange(20) % 0.3)
    assert said == "DIFFER"
    assert shown.split()[:3] == [f"{exact.mean():.2f}", "+-", f"{exact.std(ddof=1):.2f}"]


def test_runs_are_those_of_the_cell_but_for_what_is_changed(precision: ModuleType) -> None:
    narrow = precision.Runs("digits.decay50", width=4, epochs=20)
    assert narrow.called() == "digits.decay50, width 4, epochs 20"
    changed, images = precision.classifier(narrow)
    whole, _ = precision.classifier(precision.Runs("digits.decay50"))
    assert (changed.model.width, changed.training.epochs) == (4, 20)
    assert (whole.model.width, whole.training.epochs) == (16, 100)
    assert changed.schedule == whole.schedule
    assert len(images.train_images) == 1000


def test_tf32_keeps_ten_bits_and_rounds_to_the_nearest(gradients: ModuleType) -> None:
    step = 2.0**-10
    given = torch.tensor([1.0, 1.0 + step, 1.0 + 0.49 * step, 1.0 + 0.51 * step, -1.0 - 0.51 * step, 0.0, 3e30])
    rounded = gradients.rounded(given)
    expected = torch.tensor([1.0, 1.0 + step, 1.0, 1.0 + step, -1.0 - step, 0.0])
    assert torch.equal(rounded[:-1], expected)
    assert rounded[-1] == pytest.approx(3e30, rel=step)


def test_products_within_it_take_rounded_operands_forwards_and_backwards(gradients: ModuleType) -> None:
    draw = torch.Generator().manual_seed(0)
    layer = nn.Linear(5, 3)
    x, back = torch.randn(4, 5, generator=draw, requires_grad=True), torch.randn(4, 3, generator=draw)
    with gradients.TensorFloat32():
        out = layer(x)
    out.backward(back)
    taken, weight, given = (gradients.rounded(each.detach()) for each in (x, layer.weight, back))
    torch.testing.assert_close(out.detach(), taken @ weight.T + layer.bias.detach())
    torch.testing.assert_close(layer.weight.grad, given.T @ taken)
    torch.testing.assert_close(x.grad, given @ weight)
    assert not torch.equal(out, layer(x))


def test_bfloat16_is_coarser_than_tf32_and_that_than_float32(gradients: ModuleType) -> None:
    """Of a ResNet of width 4, at the init and later: what docs/fidelity.md says of width 16."""
    model = as_settings({"kind": "resnet18", "width": 4, "normalisation": "batch"})
    images = digits.prepare(None, Path(), None)  # type: ignore[arg-type]
    first, later = (gradients.errors(model, images, steps, seed=0, batch=64) for steps in (0, 8))
    for errors in (first, later):
        assert errors["float32"] < 1e-3 < errors["TF32"] < 0.5 * errors["bfloat16"] < errors["another batch"]
    assert 0.1 < first["bfloat16"] < 0.6
