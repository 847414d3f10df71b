"""Generated networks as people write them: trained as a plain loop of theirs does, from the same init, or refused.

A network is put together from layers; one in two has a habit that costs seeds, restarts or measures their meaning, or
that looks as if it did. What is to come of each habit stands beside it.
"""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from largestep import randomness
from largestep.data.image_set import ImageSet
from largestep.models import networks
from largestep.store import StoreError
from tests.image_runs import BATCH, EXAMPLES, spec, train
from tests.reliability.conftest import Counted
from tests.reliability.generated import drawn

SIZE, STEPS = 0.02, 8
# Where a habit stands in the source, its code, and a word of the line that refuses it; none where it is harmless.
HABITS: dict[str, tuple[str, str, str]] = {
    "torch seeded in the init": ("init", "torch.manual_seed(42)", "every seed starts from the same weights"),
    "numpy seeded in the init": (
        "end",
        "np.random.seed(0)\n{all} p.copy_(torch.from_numpy(np.random.randn(*p.shape)) / 8)",
        "every seed starts from the same weights",
    ),
    "a generator without a seed": (
        "end",
        "{all} p.copy_(torch.from_numpy(np.random.default_rng().normal(size=p.shape)) / 8)",
        "differs between two networks of one seed",
    ),
    "draws from numpy": ("end", "{all} p.copy_(torch.from_numpy(np.random.randn(*p.shape)) / 8)", ""),
    "draws from random": ("end", "{all} p.fill_(random.gauss(0, 0.1)) if p.dim() == 1 else None", ""),
    "a counter": (
        "forward",
        "self.calls = getattr(self, 'calls', 0) + self.training\nx = x / (1 + self.calls)",
        "state",
    ),
    "a running mean": (
        "forward",
        "if self.training:\n    self.mean = 0.9 * getattr(self, 'mean', 0.0) + 0.1 * x.detach().mean()\n"
        "x = x - getattr(self, 'mean', 0.0)",
        "outside of its state dictionary",
    ),
    "the mean of the batch": ("forward", "x = x - x.mean(0)", "depend on the other images of its batch"),
    "images changed in place": ("forward", "x.sub_(0.3).div_(0.35)", ""),
    "images standardised": ("forward", "x = (x - 0.3) / 0.35", ""),
    "a softmax at the end": ("logits", "logits = logits.softmax(1)", "puts out probabilities"),
    "logits turned": ("logits", "logits = logits.T", "must put out"),
    "logits with a dimension more": ("logits", "logits = logits[:, :, None]", "must put out"),
    "a tuple": ("logits", "logits = (logits, x)", "must put out"),
    "an error": ("forward", "raise ValueError('two\\nlines')", "two lines"),
    "an exit": ("forward", "sys.exit(3)", "SystemExit"),
    "all frozen": ("end", "self.requires_grad_(False)", "no parameter requires a gradient"),
    "one frozen": ("end", "next(self.parameters()).requires_grad_(False)", ""),
    "double weights": ("end", "self.double()", ""),
    "complex weights": ("end", "self.c = nn.Parameter(torch.zeros(2, dtype=torch.complex64))", "is complex"),
    "an unused parameter": ("end", "self.unused = nn.Parameter(torch.randn(3))", ""),
    "a buffer of truth": ("end", "self.register_buffer('mask', torch.tensor([True]))", ""),
    "prints": ("init", "print('made', channels)", ""),
    "arguments parsed": ("top", "import argparse\nargparse.ArgumentParser().parse_args()", ""),
    "double by default": ("top", "torch.set_default_dtype(torch.float64)", ""),
    "a seed at the top": ("top", "torch.manual_seed(1); np.random.seed(1); random.seed(1)", ""),
    "gradients switched off": ("top", "torch.set_grad_enabled(False)", ""),
    "an exit at the top": ("top", "sys.exit('usage: train.py')", "SystemExit: usage"),
    "an import that is not there": ("top", "import no_such_module_at_all", "no_such_module_at_all"),
}
# {all}: a loop over the parameters.
LOOP = "with torch.no_grad():\n    for p in self.parameters():\n       "


def source(draw: random.Random, habit: str | None) -> tuple[str, bool]:
    """A module with a class Net, and whether it draws in training."""
    place, code, _ = HABITS.get(habit or "", ("", "", ""))
    code = code.replace("{all}", LOOP)
    activation = draw.choice(["nn.ReLU()", "nn.ReLU(inplace=True)", "nn.GELU()", "nn.Tanh()"])
    rate = draw.choice([0.0, 0.0, 0.0, 0.3])
    norm = draw.choice(["nn.Identity()", "nn.BatchNorm2d(4)", "nn.GroupNorm(2, 4)", "nn.LayerNorm([4, 8, 8])"])
    flat = draw.choice(["x.view(-1, 256)", "x.reshape(len(x), -1)", "torch.flatten(x, 1)", "x.view(x.size(0), -1)"])
    conv = draw.choice([True, True, False])
    layers = [f"nn.Conv2d(channels, 4, 3, padding=1, bias={draw.choice([True, False])})", norm, activation]
    if not conv:
        layers, flat = (
            ["nn.Flatten()", f"nn.Linear(channels * 64, 256, bias={draw.choice([True, False])})", activation],
            "x",
        )
    lines = ["import random, sys", "import numpy as np", "import torch", "from torch import nn"]
    lines += code.split("\n") if place == "top" else []
    lines += ["class Net(nn.Module):", "    def __init__(self, channels, classes):", "        super().__init__()"]
    lines += [f"        {line}" for line in code.split("\n") if place == "init"]
    lines += [f"        self.body = nn.Sequential({', '.join(layers)})", f"        self.drop = nn.Dropout({rate})"]
    lines += ["        self.head = nn.Linear(256, classes)"]
    lines += [f"        {line}" for line in code.split("\n") if place == "end"]
    lines += ["    def forward(self, x):"]
    lines += [f"        {line}" for line in code.split("\n") if place == "forward"]
    lines += ["        x = self.body(x)", f"        logits = self.head(self.drop({flat}))"]
    lines += [f"        {line}" for line in code.split("\n") if place == "logits"]
    return "\n".join([*lines, "        return logits", ""]), rate > 0


def reference(module: str, seed: int) -> torch.nn.Module:
    """The network of a seed, made by the class itself."""
    with randomness.preserved():
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        net: torch.nn.Module = sys.modules[module].Net(1, 10).float()
    return net


def plain_loop(net: torch.nn.Module, data: ImageSet, seed: int) -> list[float]:
    """Losses of the mini-batches of SGD, and the network trained by it."""
    x, y = data.train_images.float() / 16.0, data.train_labels
    optimiser, losses = torch.optim.SGD(net.parameters(), lr=SIZE), []
    net.train()
    for step in range(STEPS):
        epoch, place = divmod(step, EXAMPLES // BATCH)
        batch = np.random.default_rng([1, seed, epoch]).permutation(EXAMPLES)[place * BATCH : (place + 1) * BATCH]
        optimiser.zero_grad()
        loss = cross_entropy(net(x[batch].clone()), y[batch])
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@drawn(60)
@given(seed=st.integers(0, 2**32), habit=st.sampled_from([*HABITS] * 2 + [None] * 20))
def test_odd_networks_are_refused_or_trained_as_their_own_loop_does(
    tmp_path_factory: pytest.TempPathFactory, counted: Counted, data: ImageSet, seed: int, habit: str | None
) -> None:
    text, draws = source(random.Random(seed), habit)
    folder = tmp_path_factory.mktemp("odd")
    module = f"odd_network_{seed}"
    (folder / f"{module}.py").write_text(text)
    wanted = HABITS[habit][2] if habit else ""
    before = torch.get_rng_state(), random.getstate(), torch.get_default_dtype(), torch.is_grad_enabled()
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        check(module, wanted, draws, data, folder, counted, habit)
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(module, None)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), torch.get_default_dtype(), torch.is_grad_enabled())


def check_line(text: str, wanted: str) -> None:
    assert wanted, text
    assert wanted in text
    assert len(text.splitlines()) == 1
    assert text.startswith("config.yaml: model")


def check(
    module: str, wanted: str, draws: bool, data: ImageSet, folder: Path, counted: Counted, habit: str | None
) -> None:
    model = {"kind": f"{module}.Net", "options": {}, "blocks": ["body", "head"]}
    settings: dict[str, Any] = spec(SIZE, seeds=2, evaluations=STEPS) | {"model": model}
    try:
        losses, kept = train(settings, data, folder / "kept")
    except StoreError as error:
        check_line(str(error), wanted)
        counted(f"odd networks refused: {habit}")
        return
    assert not wanted, f"{habit} was not refused"
    counted("odd networks trained as their own loop does")
    if draws:
        again, _ = train(settings, data, folder / "again")
        np.testing.assert_array_equal(again["minibatch_loss"], losses["minibatch_loss"])
        return
    for seed in (0, 1):
        net = reference(module, seed)
        initial = kept["parameters"].values[0, seed, 0]
        np.testing.assert_array_equal(initial, networks.flatten(net))
        expected = plain_loop(net, data, seed)
        np.testing.assert_allclose(losses["minibatch_loss"].values[0, seed, 1:], expected, rtol=1e-4)
        np.testing.assert_allclose(kept["parameters"].values[0, seed, -1], networks.flatten(net), rtol=1e-3, atol=1e-5)
