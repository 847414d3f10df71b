"""A user's own image classifier, written into a module of its own or taken from torchvision."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from largestep.data.image_set import from_arrays
from largestep.images.trial import try_out
from largestep.models import networks
from largestep.models.networks import Network
from largestep.store import StoreError
from tests.image_runs import CPU
from tests.settings import as_settings

SOURCE = '''
import torch
from torch import nn

class Net(nn.Module):
    """A stem, a stage that works in place, and a head."""

    def __init__(self, channels, classes, width=4):
        super().__init__()
        convolution = nn.Conv2d(channels, width, 3, padding=1)
        self.stem = nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.unused = nn.Linear(2, 2)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("table", torch.arange(6).reshape(2, 3))
        self.head = nn.Linear(width, classes)

    def forward(self, images):
        return self.head(self.drop(self.relu(self.norm(self.stem(images))).mean((2, 3))))

class WithBlocks(Net):
    def blocks(self, images):
        x = self.stem(images)
        return [x, x.mean((2, 3))]

class BlocksIsASubmodule(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.blocks = nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, classes))

    def forward(self, images):
        return self.blocks(images)

class NoBlocks(Net):
    def blocks(self, images):
        return []

class BadBlocks(Net):
    def blocks(self, images):
        return [self.stem(images).flatten(2)]

class TwoOutputsInTraining(Net):
    def forward(self, images):
        logits = super().forward(images)
        return (logits, logits) if self.training else logits

class Fails(Net):
    def forward(self, images):
        raise ValueError("no such\\nluck")

def sized(size, hidden):
    return nn.Sequential(nn.Flatten(), nn.Linear(size[0] * size[1], hidden), nn.ReLU(), nn.Linear(hidden, 10))

def text(**options):
    return "a network"

number = 3
ready = nn.Linear(2, 2)
'''


@pytest.fixture(autouse=True)
def my_nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module my_nets.wide in the working directory, which nothing else can import."""
    (tmp_path / "my_nets").mkdir()
    (tmp_path / "my_nets/__init__.py").touch()
    (tmp_path / "my_nets/wide.py").write_text(SOURCE)
    (tmp_path / "my_nets/broken.py").write_text("import no_such_library\n")
    (tmp_path / "my_nets/wrong.py").write_text("def Net(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "my_nets"]:
        del sys.modules[name]


def draw(kind: str, seed: int = 0, channels: int = 1, classes: int = 10, side: int = 8, **settings: Any) -> Network:
    return networks.draw(
        as_settings({"kind": kind, "options": {}, "blocks": [], **settings}), channels, classes, (side, side), seed
    )


TRIED = {"batch_size": 4, "precision": "float32"}


def tried(kind: str, **settings: Any) -> None:
    """Have it tried out before training."""
    seen = np.random.default_rng(0).integers(0, 256, (8, settings.get("channels", 1), 8, 8), np.uint8)
    part = seen, np.arange(8)
    images = from_arrays(part, part, classes=10)
    try_out(lambda seed: draw(kind, seed, **settings), images, as_settings(TRIED), CPU)


def test_a_class_is_given_what_its_signature_names_and_the_options() -> None:
    net = draw("my_nets.wide.Net", channels=3, classes=7, options={"width": 6}, blocks=["stem", "relu"]).eval()
    images = torch.rand(4, 3, 8, 8)
    assert net(images).shape == (4, 7)
    assert [tuple(block.shape) for block in net.blocks(images)] == [(4, 6, 8, 8)] * 2


def test_a_function_may_take_the_size_alone() -> None:
    net = draw("my_nets.wide.sized", options={"hidden": 5}, blocks=["2"], side=4)
    assert networks.first_filters(net).shape == (5, 1, 4, 4)
    assert net.blocks(torch.rand(3, 1, 4, 4))[0].shape == (3, 5)


def test_an_option_wins_over_what_the_data_say() -> None:
    with pytest.raises(StoreError, match=r"must put out \(4, 10\) real logits for 4 images, not \(4, 4\)"):
        tried("my_nets.wide.Net", options={"classes": 4}, blocks=["stem"])


def test_its_own_blocks_are_taken_unless_others_are_named() -> None:
    images = torch.rand(4, 1, 8, 8)
    own, named = draw("my_nets.wide.WithBlocks").eval(), draw("my_nets.wide.WithBlocks", blocks=["relu"]).eval()
    assert [tuple(block.shape) for block in own.blocks(images)] == [(4, 4, 8, 8), (4, 4)]
    assert [tuple(block.shape) for block in named.blocks(images)] == [(4, 4, 8, 8)]


def test_a_submodule_called_blocks_is_not_its_own_blocks() -> None:
    with pytest.raises(StoreError, match=r"model\.blocks .*: name the submodules .* there are blocks, blocks\.0, "):
        draw("my_nets.wide.BlocksIsASubmodule")
    assert draw("my_nets.wide.BlocksIsASubmodule", blocks=["blocks.2"])(torch.rand(2, 1, 8, 8)).shape == (2, 10)


def test_a_recorded_output_is_not_overwritten_in_place() -> None:
    net, images = draw("my_nets.wide.Net", blocks=["stem.1", "stem.2"]).eval(), torch.rand(4, 1, 8, 8)
    before, after = net.blocks(images)
    assert (before < 0).any()
    assert torch.equal(before.relu(), after)
    assert not any(module._forward_hooks for module in net.modules())


def test_the_state_dictionary_is_that_of_the_users_network() -> None:
    net = draw("my_nets.wide.Net", blocks=["stem"])
    assert list(networks.weights(net)) == ["stem.0", "unused", "head"]
    assert list(networks.parts(net)) == ["stem", "unused", "head"]
    assert next(iter(net.state_dict())) == "table"
    net.load_state_dict(net.state_dict())
    from my_nets.wide import Net

    Net(1, 10).load_state_dict(net.state_dict())


def test_flat_parameters_have_the_running_statistics_and_no_integers() -> None:
    net, other = (draw("my_nets.wide.Net", seed, blocks=["stem"]) for seed in (0, 1))
    net(torch.rand(4, 1, 8, 8))
    flat = networks.flatten(net)
    assert len(flat) == 4 * 9 + 4 + 8 + 8 + 8 + 8 + 6 + 50 - 8 + 8
    networks.load(other, flat)
    np.testing.assert_array_equal(networks.flatten(other), flat)


def test_a_new_network_is_in_training_with_the_statistics_it_was_made_with() -> None:
    net = draw("my_nets.wide.Net", blocks=["stem"])
    assert all(module.training for module in net.modules())
    for name, tensor in net.state_dict().items():
        if "running" in name:
            assert torch.equal(tensor, torch.full_like(tensor, float("var" in name)))


def test_a_seed_fixes_the_weights_and_leaves_torchs_generator_alone() -> None:
    # The module draws numbers when it is imported, which the first network must not notice.
    before = torch.get_rng_state()
    first, same, other = (networks.flatten(draw("my_nets.wide.Net", seed, blocks=["stem"])) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.any(first != other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("kind", "blocks", "first"),
    [
        ("torchvision.models.mobilenet_v2", ["features.3", "features.18", "classifier.0"], (32, 3, 3, 3)),
        ("torchvision.models.shufflenet_v2_x0_5", ["stage2", "stage4"], (24, 3, 3, 3)),
    ],
)
def test_a_network_of_torchvision_is_taken_by_name(kind: str, blocks: list[str], first: tuple[int, ...]) -> None:
    net = draw(kind, channels=3, side=32, options={"num_classes": 10}, blocks=blocks)
    images = torch.rand(4, 3, 32, 32)
    nn.functional.cross_entropy(net(images), torch.arange(4)).backward()
    assert len(net.blocks(images)) == len(blocks)
    assert networks.first_filters(net).shape == first


def test_it_compiles_and_computes_in_bfloat16_and_inference_mode() -> None:
    net, images = draw("my_nets.wide.Net", blocks=["stem"]).eval(), torch.rand(4, 1, 8, 8)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(images), net(images))
    torch._dynamo.reset()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert net(images).dtype == net.blocks(images)[0].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("no_nets.wide.Net", {}, "model.kind no_nets.wide.Net: there is no module no_nets in the working directory"),
        ("my_nets.tall.Net", {}, "model.kind my_nets.tall.Net: there is no module my_nets.tall in the working dir"),
        ("my_nets.wide.Nett", {}, "model.kind my_nets.wide.Nett: the module my_nets.wide has no Nett"),
        (
            "my_nets.broken.Net",
            {},
            "model.kind my_nets.broken.Net: importing my_nets.broken failed: ModuleNotFoundError: No module named",
        ),
        ("my_nets.wrong.Net", {}, "model.kind my_nets.wrong.Net: importing my_nets.wrong failed: SyntaxError: "),
        (
            "my_nets.wide.number",
            {},
            "model.kind my_nets.wide.number: must be a class or function that makes a network, not an object of",
        ),
        (
            "my_nets.wide.ready",
            {},
            "model.kind my_nets.wide.ready: must be a class or function that makes a network, not an object of type L",
        ),
        (
            "my_nets.wide.text",
            {},
            "model.kind my_nets.wide.text: must make a torch.nn.Module, not an object of type str",
        ),
        (
            "my_nets.wide.Net",
            {"options": {"wdth": 3}},
            "model.options of my_nets.wide.Net: making the network with them failed: TypeError: ",
        ),
        (
            "my_nets.wide.Net",
            {"options": {"width": -1}, "blocks": ["stem"]},
            "model.options of my_nets.wide.Net: making the network with them failed: ",
        ),
        (
            "my_nets.wide.Net",
            {},
            "model.blocks of my_nets.wide.Net: name the submodules whose outputs are blocks 1 to K; there are stem, ",
        ),
        (
            "my_nets.wide.Net",
            {"blocks": ["stem", "stage"]},
            "model.blocks of my_nets.wide.Net: there is no submodule stage; there are stem, stem.0, stem.1, stem.2",
        ),
        (
            "my_nets.wide.Net",
            {"blocks": ["unused"]},
            "model.blocks of my_nets.wide.Net: the network does not call its submodule unused",
        ),
        (
            "my_nets.wide.NoBlocks",
            {},
            "model.kind my_nets.wide.NoBlocks: model.blocks: its own blocks(images) gives none",
        ),
        (
            "my_nets.wide.BadBlocks",
            {},
            "model.blocks of my_nets.wide.BadBlocks: block 1 must have the shape (n, channel, row, column) or "
            "(n, unit), not (3, 4, 64)",
        ),
        (
            "my_nets.wide.TwoOutputsInTraining",
            {"blocks": ["stem"]},
            "model.kind my_nets.wide.TwoOutputsInTraining: must put out (4, 10) real logits for 4 images, not tuple",
        ),
        (
            "my_nets.wide.Fails",
            {"blocks": ["stem"]},
            "model.kind my_nets.wide.Fails: fails in training on 4 images of 1x8x8: ValueError: no such luck",
        ),
        (
            "torchvision.models.mobilenet_v2",
            {"blocks": ["features.3"], "options": {"num_classes": 10}},
            "model.kind torchvision.models.mobilenet_v2: fails in training on 4 images of 1x8x8: RuntimeError: ",
        ),
        (
            "torchvision.models.densenet",
            {},
            "model.kind torchvision.models.densenet: must be a class or function that makes a network, not an object",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(kind: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(StoreError) as caught:
        tried(kind, **settings)
    assert str(caught.value).startswith(f"config.yaml: {message}")
    assert "\n" not in str(caught.value)


def test_of_a_large_network_the_outer_submodules_are_listed() -> None:
    with pytest.raises(StoreError, match=r"there are features, .*features\.18, classifier, .* and those inside them$"):
        draw("torchvision.models.mobilenet_v2", channels=3, side=32, options={"num_classes": 10})
