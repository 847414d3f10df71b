"""C18 on images: curvature against finite differences, its study, claim and figure."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from largestep import config
from largestep.claims import batch_sharpness as claim
from largestep.claims.results import Results
from largestep.claims.verdict import decide
from largestep.data.image_set import ImageSet
from largestep.figures import image_sharpness as figure
from largestep.images.batches import Batches
from largestep.images.curvature import Batch, Curvature
from largestep.images.step import Stepper
from largestep.models import networks
from largestep.schedules import PHASE_OF_IMAGES, Schedule
from largestep.specs.cells import ImageTrainSpec
from largestep.studies import image_sharpness as study
from tests import tiny_studies
from tests.image_runs import CPU, spec, train, training

Array = NDArray[np.float64]


class Small(networks.Network):
    """One hidden layer with or without BatchNorm; smooth, so that differences of the gradient are exact."""

    def __init__(self, normalised: bool) -> None:
        super().__init__()
        norm = [nn.BatchNorm1d(4)] if normalised else []
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), *norm, nn.Tanh(), nn.Linear(4, 3))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits


def drawn(normalised: bool) -> tuple[Small, list[Batch]]:
    generator = torch.Generator().manual_seed(0)
    net = Small(normalised)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    inputs = torch.randn(3, 6, 1, 2, 2, generator=generator)
    return net, [(each, torch.arange(6) % 3) for each in inputs]


def hessian(net: networks.Network, batch: Batch) -> tuple[Array, Array]:
    """Gradient (p,) and Hessian (p, p) of a mini-batch in training mode, by central differences of the gradient."""
    net = copy.deepcopy(net).double().train()
    parameters = list(net.parameters())

    def gradient(flat: Array) -> Array:
        torch.nn.utils.vector_to_parameters(torch.from_numpy(flat), parameters)
        loss = cross_entropy(net(batch[0].double()), batch[1])
        return torch.cat([each.flatten() for each in torch.autograd.grad(loss, parameters)]).numpy()

    start = torch.nn.utils.parameters_to_vector(parameters).detach().numpy().copy()
    steps = 1e-5 * np.eye(len(start))
    matrix = np.stack([(gradient(start + step) - gradient(start - step)) / 2e-5 for step in steps])
    return gradient(start), matrix


def check_curvature(net: networks.Network, batches: list[Batch]) -> Array:
    """It is that of finite differences; returns the eigenvalues of the mean Hessian."""
    pairs = [hessian(net, batch) for batch in batches]
    along, squares = Curvature(net, batches).along_gradients()
    np.testing.assert_allclose(along, [g @ h @ g for g, h in pairs], rtol=1e-6)
    np.testing.assert_allclose(squares, [g @ g for g, _ in pairs], rtol=1e-9)
    values = np.linalg.eigvalsh(np.mean([h for _, h in pairs], axis=0))
    assert Curvature(net, batches).sharpness() == pytest.approx(values[-1], rel=1e-5)
    return values


@pytest.mark.parametrize("normalised", [False, True])
def test_curvature_is_that_of_finite_differences(normalised: bool) -> None:
    values = check_curvature(*drawn(normalised))
    assert values[0] < 0  # so that the largest is not merely the largest in size


class Convolved(networks.Network):
    """Convolutions of many kinds, which are computed as products of matrices or left to torch."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 2, (3, 2), stride=(2, 1), padding=(1, 0)),
            nn.Tanh(),
            nn.Conv2d(2, 2, 2, dilation=2, bias=False),
            nn.Conv2d(2, 2, 3, padding="same", groups=2),
            nn.Tanh(),
            nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(8, 3),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits


@pytest.mark.parametrize("size", [(7, 5), (7, 10)])  # the second too large to be worth it
def test_convolutions_of_every_kind_have_their_curvature(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    check_curvature(Convolved(), [(torch.randn(5, 1, *size), torch.arange(5) % 3) for _ in range(2)])


def test_it_is_that_of_training_mode_and_repeats_its_bits() -> None:
    net, batches = drawn(True)
    curvature = Curvature(net.eval(), batches)
    assert curvature.sharpness() == Curvature(net, batches).sharpness()
    assert not net.training  # and leaves the network alone
    together = [(torch.cat([inputs for inputs, _ in batches]), torch.cat([labels for _, labels in batches]))]
    assert Curvature(net, together).sharpness() != pytest.approx(curvature.sharpness(), rel=1e-3)


def test_a_flat_loss_has_no_sharpness_and_a_lost_one_none() -> None:
    net, batches = drawn(False)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    net.layers[-1].requires_grad_(False)  # what is left does not reach the loss
    assert Curvature(net, batches).sharpness() == 0.0
    lost, batches = drawn(False)
    with torch.no_grad():
        next(lost.parameters())[0, 0] = torch.nan
    assert np.isnan(Curvature(lost, batches).sharpness())


def test_runs_are_those_of_the_cells(data: ImageSet, tmp_path: Path) -> None:
    settings = spec(0.1, decays=({"at": 0.5, "divide_by": 4.0},))
    _, snapshots = train(settings, data, tmp_path)
    read = ImageTrainSpec.model_validate(settings)
    batches = Batches(data, training(), CPU)
    net = networks.draw(read.model, data.channels, data.classes, data.size, 0)
    stepper = Stepper(net, batches, training(), CPU)
    sizes = Schedule(read.schedule, 2 * batches.count, phase=PHASE_OF_IMAGES).sizes
    for first, last in ((0, 3), (3, 3), (3, len(sizes))):  # over the end of an epoch
        assert study.advance(stepper, 0, sizes, first, last, batches.count) == -1
    np.testing.assert_array_equal(networks.flatten(net), snapshots["parameters"].values[0, 0, -1])
    assert study.advance(stepper, 0, np.full(len(sizes), 1e30), 2, 6, batches.count) in (3, 4)


raw = partial(tiny_studies.raw, "image_sharpness")


def test_study_claim_and_figure() -> None:
    changed = raw()
    dataset = tiny_studies.run("image_sharpness", changed)
    assert np.isfinite(dataset["sharpness"]).all()
    assert np.isfinite(dataset["batch_sharpness"]).all()
    assert (dataset["point_step"] < dataset["decay_step"]).values.sum() == 2
    rows = decide(claim.measured(Results(studies={"s": dataset.assign_attrs(kind="image_sharpness")})))
    assert [row.claim for row in rows if row.experiment == "s/digits"] == ["C18", "C18", "C17"]
    drawn = figure.draw(dataset)
    assert len(drawn.axes) == 1
    assert figure.draw(dataset.assign(diverged_step=xr.zeros_like(dataset["diverged_step"]))).axes[0].texts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": {"digits": {"cell": "small", "seeds": 3}}}, "networks.digits: cell small has no decay"),
        ({"networks": {"digits_mlp": {"cell": "decay50", "seeds": 3}}}, "but the edge of stability is that of plain"),
        ({"networks": {"diagonal": {"cell": "decay50", "seeds": 3}}}, "needs a model of kind"),
        ({"points": 5}, "cell decay50 has fewer steps before or after its decay than points"),
    ],
)
def test_settings_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(config.ConfigError, match=message):
        config.parse(raw(**change), "tiny")
