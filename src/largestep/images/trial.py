"""A trial of a user's own network before it is trained: what would end in a traceback, or in wrong numbers, is said.

Built-in networks need none, but for a mini-batch that normalisation cannot take.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from largestep.data.image_set import ImageSet
from largestep.devices import memory_is_full
from largestep.images.bounded import bounds, least_loss
from largestep.models.custom import Custom
from largestep.models.networks import Network, counters, flatten, inputs, load, load_counters, memory_format
from largestep.own_code import contained, told
from largestep.randomness import preserved, seed_all
from largestep.store import StoreError

if TYPE_CHECKING:
    from largestep.config.training import ImageTraining

# Updates of the running statistics before two networks of one state are compared.
PASSES = 2
# Of the largest logit: what rounding may change, and what the other images of a batch may.
ROUNDING, OTHERS = 1e-4, 1e-3
# Of different numbers, so many in a weight are draws and no constant.
DRAWS = 16
# Images passed at once and one by one.
FEW = 3
# Images passed at once when all are; it bounds memory.
AT_ONCE = 512
# What torch says, in training and in evaluation, and what to do about it.
VIEW = {"view size is not compatible": "write reshape or flatten in place of view: images lie channels last here"}
ONE_VALUE = "Expected more than 1 value per channel"
TRAINING = VIEW | {ONE_VALUE: "a mini-batch gives a normalisation one value; raise training.batch_size"}
EVALUATION = VIEW | {ONE_VALUE: "have its normalisation use running statistics in evaluation"}


def try_out(drawn: Callable[[int], Network], images: ImageSet, training: ImageTraining, device: torch.device) -> None:
    """Train and evaluate a network for a moment, as it will be, on noise; then pass all images through it once.

    drawn: a new network by its seed. training: `batch_size` and `precision`. All generators are left as they were.
    Raises StoreError, one line, for a network whose training would fail or whose numbers would not be those of its
    seed and state dictionary, and for an image whose logits are no numbers before any update.
    """
    first = drawn(0)
    own = isinstance(first, Custom)
    if not own and training.batch_size > 1:
        return
    trial = _Trial(first, images, training, device)
    with contained(), preserved():
        if own:
            _check_draws(trial, drawn)
        trial.train()
        if own:
            trial.check_evaluation()
            trial.check_end()
            trial.check_blocks()
            trial.check_state(drawn(1))
            for part, pixels in (("training", images.train_images), ("test", images.test_images)):
                trial.check_images(part, pixels, images)


def _check_draws(trial: _Trial, drawn: Callable[[int], Network]) -> None:
    """Refuse weights that the seed does not decide, or decides alone."""
    state, same, other = (net.state_dict() for net in (trial.net, drawn(0), drawn(1)))
    parameters = {name.removeprefix("net.") for name, _ in trial.net.named_parameters()}
    for name, tensor in state.items():
        if tensor.is_meta or tensor.layout != torch.strided:
            raise trial.error(
                f"{name} is {'on the device meta' if tensor.is_meta else 'sparse'}; make it dense, with values"
            )
        if name in parameters and not (tensor.is_floating_point() or tensor.is_complex()):
            raise trial.error(f"{name} is a parameter of {tensor.dtype}; register it as a buffer (register_buffer)")
        if name in parameters and not tensor.isfinite().all():
            raise trial.error(f"{name} is not finite as it is drawn")
        if tensor.is_complex():
            raise trial.error(f"{name} is complex; hold its real and imaginary parts as two real tensors")
        if not torch.equal(tensor, same[name]):
            raise trial.error(
                f"{name} differs between two networks of one seed; draw it from torch, numpy.random or random "
                "themselves, which the seed sets, not from a generator of your own"
            )
    learned = [name for name, tensor in trial.net.named_parameters() if tensor.requires_grad]
    names = [name.removeprefix("net.") for name in learned]
    if not names:
        raise trial.error("no parameter requires a gradient; there is nothing to train")
    shared = [name for name in names if torch.equal(state[name], other[name])]
    if shared == names:
        raise trial.error(
            "every seed starts from the same weights; remove what fixes them, such as torch.manual_seed or "
            "numpy.random.seed, from its code"
        )
    if fixed := [name for name in shared if state[name].unique().numel() >= DRAWS]:
        print(f"note: {trial.called}: every seed starts from the same {', '.join(fixed)}", file=sys.stderr)


class _Trial:
    """A network on its device and images of noise, of the shape of those that it will be trained on."""

    def __init__(self, net: Network, images: ImageSet, training: ImageTraining, device: torch.device) -> None:
        self.net, self._device, self._classes = net, device, images.classes
        self._batch, self._precision = training.batch_size, training.precision
        kind = f"model.kind {net.dotted}" if isinstance(net, Custom) else "model and training.batch_size"
        self.called = f"config.yaml: {kind}"
        self._layout = memory_format(device, self._precision)
        shape = (max(self._batch, FEW), images.channels, *images.size)
        levels = np.random.default_rng(0).random(shape, dtype=np.float32)
        self._images = torch.from_numpy(levels).to(device)

    def error(self, text: str) -> StoreError:
        """What to raise when the network cannot be used."""
        return StoreError(f"{self.called}: {text}")

    def train(self) -> None:
        """Pass a mini-batch forwards and backwards."""
        self.net.to(self._device).to(memory_format=self._layout)
        for number in range(PASSES):
            seed_all(number)
            before = _host_states()
            loss = cross_entropy(self._logits(self.net).float(), self._labels())
            self._attempt(loss.backward, self._batch, TRAINING)
            if self._device.type == "cuda" and _host_states() != before:
                raise self.error(
                    "draws from random or numpy.random in forward, which a CUDA graph does once for all steps; draw "
                    "from torch, or set device.kind to cpu"
                )
        self.net.zero_grad()

    def check_evaluation(self) -> None:
        """Refuse logits that depend on the batch, and probabilities."""
        few = self._images[:FEW]
        together = self._evaluated(self.net, few)
        alone = torch.cat([self._evaluated(self.net, image[None]) for image in few])
        if _apart(together, alone) > OTHERS:
            raise self.error(
                "in evaluation, the logits of an image depend on the other images of its batch; have its layers use "
                "running statistics there"
            )
        if bool((together >= 0).all()) and torch.allclose(together.sum(1), torch.ones(()).to(together), atol=ROUNDING):
            raise self.error(
                "puts out probabilities, and the cross-entropy takes the softmax itself; put out logits: remove the "
                "softmax at its end"
            )

    def check_end(self) -> None:
        """Refuse outputs that are bounded, so narrowly that the loss stays far from 0."""
        if ends := bounds(self.net.parameters(), self._outputs_of_few):
            least = least_loss(*ends, self._classes)
            raise self.error(
                f"ends in a function that is bounded (sigmoid, tanh, clamp): with outputs from {ends[0]:.3g} to "
                f"{ends[1]:.3g} the loss cannot fall below {least:.2f}; put out logits: remove that function"
            )

    def _outputs_of_few(self) -> Tensor | None:
        try:
            return self._evaluated(self.net, self._images[:FEW])
        except StoreError:  # A network may refuse parameters that it would never have.
            return None

    def check_blocks(self) -> None:
        """Refuse a network of which there is nothing to measure."""
        with torch.no_grad():
            few = self._images[:FEW].clone()
            blocks = self._attempt(lambda: self.net.eval().blocks(few), FEW, EVALUATION)
        if not blocks:
            raise StoreError(f"{self.called}: model.blocks: its own blocks(images) gives none")

    def check_state(self, other: Network) -> None:
        """Refuse a network that another one with its state dictionary does not equal."""
        other.to(self._device).to(memory_format=self._layout)
        load(other, flatten(self.net))
        load_counters(other, counters(self.net))
        evaluated, trained = [], []
        for net in (self.net, other):
            evaluated.append(self._evaluated(net, self._images[:FEW]))
            seed_all(PASSES)
            trained.append(self._logits(net).detach())
        if _apart(*evaluated) > ROUNDING or _apart(*trained) > ROUNDING:
            raise self.error(
                "keeps something outside of its state dictionary (an attribute, a generator of its own, a buffer with "
                "persistent=False), which a restart and the measures lack; use register_buffer, or draw from torch"
            )

    def check_images(self, part: str, levels: Tensor, images: ImageSet) -> None:
        """Refuse images of one part, levels (n, channel, row, column), whose logits are not finite."""
        bad = []
        for few in levels.split(AT_ONCE):
            taken = inputs(few.to(self._device), images.white_level, images.moments)
            bad.append(self._evaluated(self.net, taken).isfinite().all(1).logical_not().cpu())
        if numbers := torch.cat(bad).nonzero()[:, 0].tolist():
            pixels = levels[numbers[0]]
            blank = f", all of level {int(pixels.max())}," if pixels.min() == pixels.max() else ""
            raise self.error(
                f"its logits of {part} image {numbers[0]} (from 0 on){blank} are not finite before any update, nor "
                f"those of {len(numbers) - 1} others; have it divide by no deviation of 0, or remove the images"
            )

    def _logits(self, net: Network) -> Tensor:
        """Of the mini-batch, in training."""
        images = self._images[: self._batch].clone(memory_format=self._layout)
        bfloat16 = self._precision == "bfloat16"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=False):
            return self._sound(self._attempt(lambda: net.train()(images), len(images), TRAINING), len(images))

    def _evaluated(self, net: Network, images: Tensor) -> Tensor:
        with torch.no_grad():
            logits = self._attempt(lambda: net.eval()(images.clone()), len(images), EVALUATION)
        return self._sound(logits, len(images)).float()

    def _sound(self, logits: Any, count: int) -> Tensor:
        if isinstance(logits, Tensor) and logits.is_floating_point() and logits.shape == (count, self._classes):
            return logits
        output = f"{tuple(logits.shape)}, {logits.dtype}" if isinstance(logits, Tensor) else type(logits).__name__
        raise self.error(f"must put out ({count}, {self._classes}) real logits for {count} images, not {output}")

    def _attempt(self, work: Callable[[], Any], count: int, known: Mapping[str, str]) -> Any:
        """Do something with the user's network and `count` images; known: what to do about errors."""
        try:
            return work()
        except StoreError:
            raise
        except (Exception, SystemExit) as error:
            if memory_is_full(error):
                raise
            mend = next((f"; {mend}" for said, mend in known.items() if said in str(error)), "")
            sizes = "x".join(map(str, self._images.shape[1:]))
            what = f"fails in {'training' if known is TRAINING else 'evaluation'} on {count} images of {sizes}"
            raise self.error(f"{what}: {told(error)}{mend}") from error

    def _labels(self) -> Tensor:
        return torch.arange(self._batch, device=self._device) % self._classes


def _host_states() -> tuple[object, ...]:
    """Those of the generators of Python and NumPy."""
    numpy = np.random.get_state(legacy=False)["state"]
    return random.getstate(), numpy["key"].tobytes(), numpy["pos"]


def _apart(one: Tensor, other: Tensor) -> float:
    """The largest difference of two arrays, over the largest number in either; 0 where neither is finite."""
    if not bool(one.isfinite().all()) and not bool(other.isfinite().all()):
        return 0.0
    scale = torch.maximum(one.abs().max(), other.abs().max()).clamp_min(torch.finfo(one.dtype).tiny)
    return float((one - other).abs().max() / scale)
