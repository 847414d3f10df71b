"""What classifiers are often trained with and the paper does not use: as torch has it, and in no spec unless given."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torchvision.transforms.functional import normalize

from largestep import config, grid, tables
from largestep.config.data import PublishedImages
from largestep.config.measures import Activations
from largestep.data import image_set
from largestep.data.image_set import ImageSet, from_arrays
from largestep.images.batches import Batches
from largestep.measures import image_features
from largestep.models import networks
from largestep.store import StoreError
from tests.image_runs import BATCH, CPU, EXAMPLES, SETTINGS, spec, train, training
from tests.made_up import experiment
from tests.settings import as_settings

STEPS, SIZE = 8, 0.02
SGD = {"momentum": 0.9, "weight_decay": 0.05}


def by_torch(images: ImageSet, inputs: torch.Tensor, training: dict[str, Any]) -> tuple[list[float], torch.nn.Module]:
    """Mini-batch losses and the last network of torch's own optimiser and loss, in float64."""
    net = networks.draw(as_settings(spec()["model"]), images.channels, 10, images.size, 0).double()
    decay = training.get("weight_decay", 0.0)
    spared = training.get("weight_decay_on") == "weights"
    groups = [{"params": [p], "weight_decay": 0.0 if spared and p.ndim == 1 else decay} for p in net.parameters()]
    optimiser = torch.optim.SGD(
        groups, lr=SIZE, momentum=training.get("momentum", 0.0), nesterov=training.get("nesterov", False), foreach=False
    )
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=training.get("label_smoothing", 0.0))
    losses = []
    for step in range(STEPS):
        epoch, place = divmod(step, EXAMPLES // BATCH)
        batch = np.random.default_rng([1, 0, epoch]).permutation(EXAMPLES)[place * BATCH : (place + 1) * BATCH]
        optimiser.zero_grad()
        loss = criterion(net(inputs[batch].double()), images.train_labels[batch])
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses, net


@pytest.mark.parametrize(
    "training",
    [
        SGD | {"nesterov": True},
        SGD | {"weight_decay_on": "weights"},
        {"label_smoothing": 0.2},
        SGD | {"nesterov": True, "weight_decay_on": "weights", "label_smoothing": 0.1},
    ],
    ids=["nesterov", "decay of weights", "label smoothing", "all"],
)
def test_training_is_that_of_torchs_optimiser_and_loss(
    data: ImageSet, training: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = networks.draw
    monkeypatch.setattr(networks, "draw", lambda *given: draw(*given).double())
    losses, kept = train(spec(SIZE, evaluations=STEPS, **training), data, tmp_path)
    monkeypatch.undo()
    expected, net = by_torch(data, data.train_images.double() / 16.0, training)
    np.testing.assert_allclose(losses["minibatch_loss"].values[0, 0, 1:], expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(kept["parameters"].values[0, 0, -1], networks.flatten(net), rtol=0, atol=1e-7)
    plain, _ = by_torch(data, data.train_images.double() / 16.0, {key: training[key] for key in SGD if key in training})
    assert abs(np.array(expected) - plain).max() > 1e-3  # the setting acts
    # Evaluations know no smoothing: the test loss is that of the network alone.
    with torch.inference_mode():
        logits = net.eval()(data.test_images.double() / 16.0)
    alone = torch.nn.functional.cross_entropy(logits, data.test_labels).item()
    assert losses["test_loss"].values[0, 0, -1] == pytest.approx(alone, abs=1e-6)


def coloured() -> ImageSet:
    """Images of three channels whose means and deviations differ."""
    draw = np.random.default_rng(0)
    levels = draw.integers(0, [[[[40]], [[120]], [[250]]]], size=(120, 3, 8, 8), dtype=np.uint8)
    labels = draw.integers(10, size=120)
    return from_arrays((levels[:90], labels[:90]), (levels[90:], labels[90:]), classes=10)


def test_inputs_are_normalised_by_the_training_images_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = PublishedImages(**SETTINGS | {"examples": EXAMPLES, "test_examples": 20, "normalise": True})
    taken = image_set.part(coloured(), settings)
    levels = taken.train_images.numpy() / 255.0
    assert len(levels) == EXAMPLES  # of 90: the moments are those of the others no more than of the test images
    mean, deviation = levels.mean((0, 2, 3)), levels.std((0, 2, 3))
    np.testing.assert_allclose(taken.moments.numpy()[:, :, 0, 0], [mean, deviation], rtol=1e-6)

    expected = normalize(taken.train_images.float() / 255.0, *taken.moments.flatten(1).tolist())
    draw = networks.draw
    monkeypatch.setattr(networks, "draw", lambda *given: draw(*given).double())
    losses, kept = train(spec(SIZE, evaluations=STEPS), taken, tmp_path)
    monkeypatch.undo()
    written_out, net = by_torch(taken, expected, {})
    np.testing.assert_allclose(losses["minibatch_loss"].values[0, 0, 1:], written_out, rtol=0, atol=1e-11)
    with torch.inference_mode():
        tested = normalize(taken.test_images.float() / 255.0, *taken.moments.flatten(1).tolist())
        loss = torch.nn.functional.cross_entropy(net.eval()(tested.double()), taken.test_labels).item()
    assert losses["test_loss"].values[0, 0, -1] == pytest.approx(loss, abs=1e-6)

    # The measures look at what the network was trained on.
    net = net.float()
    with torch.inference_mode():
        blocks = net.blocks(expected)
    units = [torch.arange(block[0].numel()) for block in blocks]
    activations, _ = image_features.activations(net, taken.train_images, taken, units, normalise=False)
    for block, values in zip(blocks, activations, strict=True):
        torch.testing.assert_close(values, block.flatten(1))
    kept = kept.assign_coords(arm=["order"])
    other = image_set.part(coloured(), settings.model_copy(update={"normalise": False}))
    model, measures = as_settings(spec()["model"]), Activations()
    one, two = (
        image_features.features(model, measures, images, kept, label="x", threads=1) for images in (taken, other)
    )
    assert not np.array_equal(one["unit_active_count"], two["unit_active_count"])


def test_black_around_crops_is_black_before_the_normalisation() -> None:
    """As torchvision's transforms are written: crop, to tensor, normalise."""
    taken = image_set.part(coloured(), PublishedImages(kind="digits", normalise=True))
    settings = training(batch_size=90, augmentation={"crop_padding": 8, "flip": False})
    batches = Batches(taken, settings, CPU)
    batches.begin(seed=0, epoch=0)
    inputs = batches.take(torch.zeros(1, dtype=torch.int64))[0]
    mean, deviation = taken.moments
    assert torch.isclose(inputs, -mean / deviation).all(1).double().mean() > 0.3


def test_a_channel_of_one_level_cannot_be_normalised() -> None:
    images = coloured()
    images.train_images[:, 1] = 7
    with pytest.raises(StoreError, match=r"^data\.normalise: channel 1 .*one level throughout.*remove normalise$"):
        image_set.part(images, PublishedImages(**SETTINGS | {"test_examples": 20, "normalise": True}))


@pytest.fixture
def tiny(repository: Path) -> dict[str, Any]:
    raw = yaml.safe_load((repository / "tests/tiny/config.yaml").read_text())
    raw["experiments"]["digits"]["training"] |= SGD
    # Asks for plain steps.
    del raw["studies"]["image_sharpness"]
    return raw


ASKED = {"nesterov": True, "weight_decay_on": "weights", "label_smoothing": 0.1}
DEFAULTS = {"nesterov": False, "weight_decay_on": "all", "label_smoothing": 0.0}


def test_defaults_are_in_no_spec_and_others_in_all(tiny: dict[str, Any]) -> None:
    """Stores made before these keys were there stay valid; the keys decide what reruns where they are used."""
    before = grid.cells(config.parse(tiny, "c"))["digits.small"]
    written, asked = copy.deepcopy(tiny), copy.deepcopy(tiny)
    written["experiments"]["digits"]["training"] |= DEFAULTS
    written["experiments"]["digits"]["data"]["normalise"] = False
    asked["experiments"]["digits"]["training"] |= ASKED
    asked["experiments"]["digits"]["data"]["normalise"] = True
    same, other = (grid.cells(config.parse(raw, "c"))["digits.small"] for raw in (written, asked))
    for stage in ("images", "train", "features", "sparsity"):
        assert same.spec(stage) == before.spec(stage)
        assert not any(key in before.spec(stage) for key in (*ASKED, '"normalise"'))
    assert other.spec("images") == before.spec("images")  # prepared once for both
    assert all(f'"{key}"' in other.spec("train") for key in (*ASKED, "normalise"))


def test_tables_say_how_the_runs_were_trained(tiny: dict[str, Any]) -> None:
    tiny["experiments"]["digits"]["training"] |= ASKED
    tiny["experiments"]["digits"]["data"]["normalise"] = True
    settings = yaml.safe_load(grid.aggregate_spec(config.parse(tiny, "c")))["experiments"]
    assert settings["diagonal"]["training"] == "steps 401, batch_size 1, loss half_mse"
    words = settings["digits"]["training"]
    for part in ("momentum 0.9", "weight_decay 0.05", "nesterov true", "weight_decay_on weights"):
        assert part in words
    assert words.endswith("label_smoothing 0.1, data.normalise true")
    frame = tables.table(experiment({"small": 0.0}, [0, 9], {"train_loss": (("step",), np.ones((1, 1, 2, 2)))}))
    assert f"Training: {words}." in tables.markdown(frame, "t", words)
    escaped = words.replace("_", r"\_")
    assert f"Training: {escaped}." in tables.latex(frame, "t", words)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nesterov": True, "momentum": 0.0}, "nesterov is a form of momentum; give momentum"),
        ({"weight_decay_on": "weights", "weight_decay": 0.0}, "weight_decay_on spares parameters of weight_decay"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"weight_decay_on": "norms"}, "weight_decay_on"),
    ],
)
def test_settings_without_effect_are_refused(tiny: dict[str, Any], change: dict[str, Any], message: str) -> None:
    tiny["experiments"]["digits"]["training"] |= change
    with pytest.raises(config.ConfigError) as refused:
        config.parse(tiny, "c")
    assert message in str(refused.value)
    assert "experiments.digits.training" in str(refused.value)
    assert "\n" not in str(refused.value)
