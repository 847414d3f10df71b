"""What users' networks do that a plain forward pass does not show: each is said in one line, or made right."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from largestep.data.image_set import ImageSet, from_arrays
from largestep.images.trial import try_out
from largestep.models import networks
from largestep.store import StoreError
from tests.image_runs import spec, train
from tests.settings import as_settings

TOP = """
import random

import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, channels, classes, size, units=6):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], units), nn.ReLU())
        self.head = nn.Linear(units, classes)

    def forward(self, images):
        return self.head(self.body(images))
"""
NETS = {
    "seeds_torch": """
class Own(Net):
    def __init__(self, channels, classes, size):
        torch.manual_seed(42)
        super().__init__(channels, classes, size)
""",
    "seeds_in_factory": """
def Own(channels, classes, size):
    torch.manual_seed(0)
    return Net(channels, classes, size)
""",
    "seeds_numpy": """
class Own(Net):
    def __init__(self, channels, classes, size):
        super().__init__(channels, classes, size)
        np.random.seed(1)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.from_numpy(np.random.randn(*p.shape)))
""",
    "own_draws": """
class Own(Net):
    def __init__(self, channels, classes, size):
        super().__init__(channels, classes, size)
        with torch.no_grad():
            self.head.bias.copy_(torch.from_numpy(np.random.default_rng().normal(size=classes)))
""",
    "counter": """
class Own(Net):
    calls = 0

    def forward(self, images):
        self.calls += self.training
        return super().forward(images) * min(1.0, self.calls / 8)
""",
    "running_mean": """
class Own(Net):
    def forward(self, images):
        if self.training:
            self.mean = 0.9 * getattr(self, "mean", 0.0) + 0.1 * images.detach().mean()
        return super().forward(images - self.mean if hasattr(self, "mean") else images)
""",
    "own_generator": """
class Own(Net):
    def __init__(self, channels, classes, size):
        super().__init__(channels, classes, size)
        self.generator = torch.Generator().manual_seed(3)

    def forward(self, images):
        noise = torch.rand(images.shape, generator=self.generator) if self.training else 0.5
        return super().forward(images * noise)
""",
    "buffer_not_kept": """
class Own(Net):
    def __init__(self, channels, classes, size):
        super().__init__(channels, classes, size)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, images):
        self.seen += self.training
        return super().forward(images) / (1 + self.seen)
""",
    "frozen": """
def Own(channels, classes, size):
    return Net(channels, classes, size).requires_grad_(False)
""",
    "complex": """
class Own(Net):
    def __init__(self, channels, classes, size):
        super().__init__(channels, classes, size)
        self.phase = nn.Parameter(torch.randn(6, dtype=torch.complex64))

    def forward(self, images):
        return self.head(self.body(images) * self.phase.abs())
""",
    "softmax": """
class Own(Net):
    def forward(self, images):
        return super().forward(images).softmax(1)
""",
    "sigmoid": """
class Own(Net):
    def forward(self, images):
        return super().forward(images).sigmoid()
""",
    "on_meta": """
class Own(Net):
    def __init__(self, channels, classes, size):
        with torch.device("meta"):
            super().__init__(channels, classes, size)
""",
    "sparse": """
class Own(Net):
    def __init__(self, channels, classes, size):
        super().__init__(channels, classes, size)
        self.scale = nn.Parameter(torch.randn(3, 3).to_sparse())
""",
    "of_integers": """
class Own(Net):
    def __init__(self, channels, classes, size):
        super().__init__(channels, classes, size)
        self.levels = nn.Parameter(torch.zeros(3, dtype=torch.int8), requires_grad=False)
""",
    "not_a_number": """
class Own(Net):
    def __init__(self, channels, classes, size):
        super().__init__(channels, classes, size)
        self.head.bias.data[0] = float("nan")
""",
    "squeezes": """
class Own(Net):
    def forward(self, images):
        return super().forward(images).squeeze()
""",
    "fixed_batch": """
class Own(Net):
    def forward(self, images):
        return super().forward(images).view(16, -1)
""",
    "batch_in_evaluation": """
class Own(Net):
    def __init__(self, channels, classes, size):
        super().__init__(channels, classes, size)
        self.norm = nn.BatchNorm1d(classes, track_running_stats=False)

    def forward(self, images):
        return self.norm(super().forward(images))
""",
    "other_images": """
class Own(Net):
    def forward(self, images):
        return super().forward(images - images.mean(0))
""",
    "view": """
class Own(nn.Module):
    def __init__(self, channels, classes, size):
        super().__init__()
        self.body = nn.Conv2d(channels, 3, 3, padding=1)
        self.head = nn.Linear(3 * size[0] * size[1], classes)

    def forward(self, images):
        x = self.body(images)
        return self.head(x.view(-1, x.shape[1] * x.shape[2] * x.shape[3]))
""",
    "exits": """
class Own(Net):
    def forward(self, images):
        raise SystemExit(0)
""",
    "no_gradient": """
class Own(Net):
    def forward(self, images):
        return super().forward(images).detach()
""",
}
SAID = {
    "seeds_torch": "every seed starts from the same weights; remove what fixes them, such as torch.manual_seed",
    "seeds_in_factory": "every seed starts from the same weights",
    "seeds_numpy": "every seed starts from the same weights",
    "own_draws": "head.bias differs between two networks of one seed",
    "counter": "keeps something outside of its state dictionary",
    "running_mean": "keeps something outside of its state dictionary",
    "own_generator": "keeps something outside of its state dictionary",
    "buffer_not_kept": "keeps something outside of its state dictionary",
    "frozen": "no parameter requires a gradient",
    "complex": "phase is complex",
    "softmax": "puts out probabilities",
    "sigmoid": "ends in a function that is bounded (sigmoid, tanh, clamp): with outputs from 0 to 1 the loss cannot",
    "on_meta": "is on the device meta; make it dense, with values",
    "sparse": "scale is sparse; make it dense, with values",
    "of_integers": "levels is a parameter of torch.int8; register it as a buffer",
    "not_a_number": "head.bias is not finite as it is drawn",
    "squeezes": "must put out (1, 10) real logits for 1 images, not (10,), torch.float32",
    "fixed_batch": "fails in training on 4 images of 1x8x8: RuntimeError: shape '[16, -1]' is invalid",
    "batch_in_evaluation": "have its normalisation use running statistics in evaluation",
    "other_images": "in evaluation, the logits of an image depend on the other images of its batch",
    "view": "write reshape or flatten in place of view",
    "exits": "fails in training on 4 images of 1x8x8: SystemExit: 0",
    "no_gradient": "fails in training on 4 images of 1x8x8: RuntimeError: element 0 of tensors does not require",
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a module into the working directory and gives the model that it holds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def written(name: str, source: str, top: str = TOP) -> dict[str, Any]:
        (tmp_path / f"trial_{name}.py").write_text(top + source)
        return {"kind": f"trial_{name}.Own", "options": {}, "blocks": ["body"]}

    yield written
    for name in [name for name in sys.modules if name.startswith("trial_")]:
        del sys.modules[name]


def noise(size: int = 8, count: int = 20) -> ImageSet:
    levels = np.random.default_rng(1).integers(0, 256, (count, 1, size, size), np.uint8)
    return from_arrays((levels, np.arange(count) % 10), (levels[:9].copy(), np.arange(9)), classes=10)


def tried(
    model: dict[str, Any], batch: int = 4, precision: str = "float32", size: int = 8, images: ImageSet | None = None
) -> None:
    training = as_settings({"batch_size": batch, "precision": precision})
    images = images or noise(size)
    made = as_settings(model)
    try_out(lambda seed: networks.draw(made, 1, 10, images.size, seed), images, training, torch.device("cpu"))


@pytest.mark.parametrize("name", SAID)
def test_it_is_refused_in_one_line(own: Any, name: str) -> None:
    with pytest.raises(StoreError) as caught:
        tried(own(name, NETS[name]), precision="bfloat16" if name == "view" else "float32")
    assert str(caught.value).startswith(f"config.yaml: model.kind trial_{name}.Own: ")
    assert SAID[name] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_does_no_harm_is_accepted(own: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """Dropout, a part that is frozen, double weights, buffers of every kind, images changed in place, a generator."""
    source = """
class Own(Net):
    def __init__(self, channels, classes, size):
        super().__init__(channels, classes, size)
        self.double()
        self.drop, self.norm = nn.Dropout(0.5), nn.BatchNorm1d(6)
        self.register_buffer("used", torch.tensor([True, False, True, True, True, True]))
        self.register_buffer("ramp", torch.arange(6), persistent=False)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.head.bias.requires_grad_(False)

    def forward(self, images):
        self.seen += self.training
        keep = random.random() < 0.5 or not self.training
        x = self.drop(self.norm(self.body(images.sub_(0.3).div_(0.35)) * self.used + self.ramp))
        return self.head(x if keep else -x)
"""
    before = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tobytes()
    tried(own("harmless", source))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tobytes())
    assert capfd.readouterr().err == ""


def test_logits_that_start_as_one_constant_are_no_sigmoid(own: Any) -> None:
    source = """
class Own(Net):
    def __init__(self, channels, classes, size):
        super().__init__(channels, classes, size)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, 0.2)
"""
    tried(own("constant", source))


@pytest.mark.parametrize("part", ["training", "test"])
def test_a_blank_image_that_a_network_cannot_take_is_named(own: Any, part: str) -> None:
    """Each image is standardised by its own deviation: 0 of a blank one, which looks like steps that are too large."""
    source = """
class Own(Net):
    def forward(self, images):
        mean, deviation = images.mean((1, 2, 3), keepdim=True), images.std((1, 2, 3), keepdim=True)
        return super().forward((images - mean) / deviation)
"""
    model = own("blank", source)
    images = noise()
    tried(model, images=images)
    (images.train_images if part == "training" else images.test_images)[5] = 7
    with pytest.raises(
        StoreError, match=rf"its logits of {part} image 5 \(from 0 on\), all of level 7, are not finite"
    ):
        tried(model, images=images)


def test_weights_that_are_the_same_in_part_are_said(own: Any, capfd: pytest.CaptureFixture[str]) -> None:
    source = """
class Own(Net):
    def __init__(self, channels, classes, size):
        super().__init__(channels, classes, size)
        generator = torch.Generator().manual_seed(0)
        nn.init.normal_(self.body[1].weight, generator=generator)
        nn.init.zeros_(self.body[1].bias)
"""
    tried(own("part", source))
    assert "trial_part.Own: every seed starts from the same body.1.weight\n" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ({"kind": "resnet18", "width": 2, "normalisation": "batch"}, 8),
        ({"kind": "vgg11", "width": 2, "normalisation": "batch"}, 28),
    ],
)
def test_batchnorm_over_one_value_is_refused_before_training(model: dict[str, Any], size: int) -> None:
    tried(model, batch=2, size=size)
    with pytest.raises(StoreError, match=r"config\.yaml: model and training\.batch_size: .*raise training\.batch_size"):
        tried(model, batch=1, size=size)
    tried(model | {"normalisation": "none"}, batch=1, size=size)


def curves(model: dict[str, Any], data: ImageSet, folder: Path, seeds: int = 2, **training: Any) -> np.ndarray:
    losses, _ = run(model, data, folder, seeds, **training)
    return np.asarray(losses["train_loss"].values[0])


def run(
    model: dict[str, Any], data: ImageSet, folder: Path, seeds: int = 2, **training: Any
) -> tuple[xr.Dataset, xr.Dataset]:
    return train(spec(seeds=seeds, **training) | {"model": model}, data, folder)


def test_draws_from_numpy_and_python_follow_the_seed(own: Any, data: ImageSet, tmp_path: Path) -> None:
    """In the init and in training; also where a killed job goes on between the seeds."""
    source = """
class Own(Net):
    def __init__(self, channels, classes, size):
        super().__init__(channels, classes, size)
        with torch.no_grad():
            self.body[1].weight.copy_(torch.from_numpy(np.random.randn(*self.body[1].weight.shape) / 8))
            self.head.bias.fill_(random.gauss(0, 1))

    def forward(self, images):
        scale = random.uniform(0.5, 1.5) * np.random.uniform(0.5, 1.5) if self.training else 1.0
        return super().forward(scale * images)
"""
    model = own("draws", source)
    np.random.seed(5)
    random.seed(5)
    before = random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tobytes()
    first = curves(model, data, tmp_path / "first")
    assert before == (random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tobytes())
    for path in (tmp_path / "first").glob("run1*"):
        path.unlink()
    random.seed(6)
    np.testing.assert_array_equal(curves(model, data, tmp_path / "first"), first)
    np.testing.assert_array_equal(curves(model, data, tmp_path / "again"), first)
    assert np.all(first[0] != first[1])


def test_on_a_cpu_every_seed_has_a_network_of_its_own(own: Any, data: ImageSet, tmp_path: Path) -> None:
    """What a network keeps that changes only after the trial's few passes does not leak into the next seed."""
    source = """
class Own(Net):
    calls = 0

    def forward(self, images):
        self.calls += self.training
        return super().forward(images) * (2.0 if self.calls > 6 else 1.0)
"""
    model = own("late", source)
    both = curves(model, data, tmp_path / "both")
    for path in (tmp_path / "both").glob("run1*"):
        path.unlink()
    np.testing.assert_array_equal(curves(model, data, tmp_path / "both")[1], both[1])


def test_sam_takes_both_gradients_at_the_same_images(own: Any, data: ImageSet, tmp_path: Path) -> None:
    net = "class Own(Net):\n    def forward(self, images):\n        return super().forward({})\n"
    in_place, copied = own("in_place", net.format("images.sub_(0.3)")), own("copied", net.format("images - 0.3"))
    taken, wanted = (
        curves(model, data, tmp_path / model["kind"], seeds=1, sam_radius=0.1) for model in (in_place, copied)
    )
    np.testing.assert_array_equal(taken, wanted)


SCRIPT = """
import argparse
import os
import sys

import torch
from torch import nn

print("training ...")
options = argparse.ArgumentParser()
options.add_argument("--lr", type=float, default=0.1)
options = options.parse_args()
torch.set_default_dtype(torch.float64)
torch.use_deterministic_algorithms(False)
torch.backends.cudnn.benchmark = True
torch.set_grad_enabled(False)
torch.set_num_threads(3)
torch.manual_seed(1)
os.chdir("/")
"""


def test_a_script_is_imported_without_our_arguments_and_changes_nothing_here(
    own: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["largestep.train_images", "--spec", "{}"])
    here, threads = Path.cwd(), torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    tried(own("script", TOP, top=SCRIPT) | {"kind": "trial_script.Net"})
    assert sys.argv[1:] == ["--spec", "{}"]
    assert (Path.cwd(), torch.get_num_threads(), torch.get_default_dtype()) == (here, threads, torch.float32)
    assert torch.is_grad_enabled()
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "training ...\n")


@pytest.mark.parametrize("source", ["import sys\nsys.exit(0)\n", "raise SystemExit('usage: train.py DATA')\n"])
def test_a_script_that_ends_python_is_named(own: Any, source: str) -> None:
    with pytest.raises(StoreError, match=r"model\.kind trial_exit\.Own: importing trial_exit failed: SystemExit: "):
        tried(own("exit", TOP, top=source))


def test_a_file_named_like_a_library_replaces_nothing(own: Any, tmp_path: Path) -> None:
    (tmp_path / "wave.py").write_text("raise ValueError('mine')\n")
    tried(own("waves", TOP, top="import wave\n") | {"kind": "trial_waves.Net"})
