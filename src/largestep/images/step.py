"""One update of an image classifier by SGD, on any device.

A step reads and writes buffers on the device and takes no argument from the host, so that a GPU captures it once as a
graph and replays it; a CPU runs the same function.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim.sgd import sgd

from largestep.images.batches import Batches
from largestep.images.padding import pad_channels
from largestep.models.networks import Network, memory_format
from largestep.store import StoreError

if TYPE_CHECKING:
    from largestep.config.training import ImageTraining

# Updates before the capture: they compile the network and have the libraries choose and allocate.
WARM_UP = 3


class Stepper:
    """A network in training: its parameters, its velocities, and the updates that change them.

    training: `batch_size`, `momentum`, `weight_decay` (as in `torch.optim.SGD`), `sam_radius`, `precision`,
    `nesterov`, `weight_decay_on` and `label_smoothing`, as in config.yaml.
    Velocities and updates have the type of the weights, float32; `bfloat16` is that of autocast.
    """

    def __init__(self, net: Network, batches: Batches, training: ImageTraining, device: torch.device) -> None:
        self._dtype = next(net.parameters()).dtype
        self._memory_format = memory_format(device, training.precision)
        self.net, self._batches = net.to(memory_format=self._memory_format), batches
        self._radius = training.sam_radius
        self._autocast: dict[str, Any] = {
            "device_type": device.type,
            "dtype": torch.bfloat16,
            "enabled": training.precision == "bfloat16",
            "cache_enabled": False,
        }
        self._smoothing = training.label_smoothing
        self._size = torch.zeros((), dtype=self._dtype, device=device)
        self._momentum, self._nesterov = training.momentum, training.nesterov
        # A velocity of 0 gives what torch's first step does, and can be saved before it.
        self._velocities = [torch.zeros_like(parameter) for parameter in net.parameters()] if training.momentum else []
        self._groups = _groups(net, self._velocities, training)
        self._position = torch.zeros(1, dtype=torch.int64, device=device)
        self._sizes = torch.zeros(batches.count, dtype=self._dtype, device=device)
        self._losses = torch.zeros(batches.count, dtype=self._dtype, device=device)
        self._forward: Callable[[Tensor], Tensor] = net
        self._update: Callable[[], None] = self._step
        if device.type == "cuda":
            pad_channels(net)
            self._forward = torch.compile(net)
            try:
                self._update = self._captured()
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                reason = " ".join(str(error).split())
                raise StoreError(
                    f"this network cannot be captured as a CUDA graph, or not deterministically: {reason:.200}; change "
                    "it, or set device.kind to cpu in config.yaml"
                ) from error

    def restart(self, net: Network) -> None:
        """Take over the weights and the running statistics of a network of the same kind, at rest."""
        self.net.load_state_dict(net.state_dict())
        for velocity in self._velocities:
            velocity.zero_()

    def begin(self, seed: int, epoch: int, sizes: NDArray[np.float64]) -> None:
        """Draw an epoch; sizes: (batches,), its step sizes."""
        self._batches.begin(seed, epoch)
        self._sizes.copy_(torch.from_numpy(sizes))

    def advance(self, first: int, last: int) -> Tensor:
        """Take the updates of the mini-batches first to last - 1 of the epoch; returns the loss before each."""
        self.net.train()
        self._position.fill_(first)
        for _ in range(first, last):
            self._update()
        return self._losses[first:last].cpu()

    def predict(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of inputs, with BatchNorm's running statistics.

        In float32 whatever the precision of training: in bfloat16 the largest logits of an image are often equal.
        """
        self.net.eval()
        with torch.inference_mode():
            return self.net(images.to(self._dtype)).float()

    def flat_velocities(self) -> NDArray[np.float32]:
        """The velocities of momentum, one after the other, of shape (p,); empty without momentum."""
        flat = [velocity.flatten() for velocity in self._velocities]
        return torch.cat(flat).cpu().numpy() if flat else np.zeros(0, dtype=np.float32)

    def load_velocities(self, flat: NDArray[np.float32]) -> None:
        """Put back what `flat_velocities` gave."""
        parts = torch.from_numpy(flat).split([velocity.numel() for velocity in self._velocities])
        for velocity, values in zip(self._velocities, parts, strict=True):
            velocity.copy_(values.view(velocity.shape))

    def _step(self) -> None:
        images, labels = self._batches.take(self._position)
        images = images.to(self._dtype, memory_format=self._memory_format)
        # A network may change in place the images that it is given; SAM needs them once more.
        loss = self._gradient(images.clone() if self._radius > 0 else images, labels)
        if self._radius > 0:
            self._sharpness_aware(images, labels)
        self._size.copy_(self._sizes.index_select(0, self._position)[0])
        self._descend()
        self._losses.index_copy_(0, self._position, loss.detach()[None])
        self._position.add_(1)

    @torch.no_grad()
    def _descend(self) -> None:
        """One update of `torch.optim.SGD`, by its function: the class imports the compiler of GPU code, for seconds."""
        for decay, group in self._groups.items():
            # A user's own network may have parameters that take no part.
            moved = [(each, gradient, velocity) for each, velocity in group if (gradient := each.grad) is not None]
            sgd(
                [parameter for parameter, _, _ in moved],
                [gradient for _, gradient, _ in moved],
                [velocity for _, _, velocity in moved],
                weight_decay=decay,
                momentum=self._momentum,
                lr=self._size,
                dampening=0.0,
                nesterov=self._nesterov,
                maximize=False,
                fused=True,
            )

    def _gradient(self, images: Tensor, labels: Tensor) -> Tensor:
        self.net.zero_grad()
        with torch.autocast(**self._autocast):
            logits = self._forward(images)
        loss = cross_entropy(logits.to(self._dtype), labels, label_smoothing=self._smoothing)
        loss.backward()
        return loss

    def _sharpness_aware(self, images: Tensor, labels: Tensor) -> None:
        """Replace the gradient g by that at theta + radius g / |g| (SAM, Foret et al. 2021)."""
        # A user's own network may have parameters that take no part.
        parameters = [parameter for parameter in self.net.parameters() if parameter.grad is not None]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        kept = [parameter.detach().clone() for parameter in parameters]
        # The running statistics are those of the network itself, not of the perturbed one.
        statistics = [(buffer, buffer.clone()) for buffer in self.net.buffers()]
        with torch.no_grad():
            scale = self._radius / norm.clamp_min(torch.finfo(norm.dtype).tiny)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.add_(gradient * scale)
        self._gradient(images, labels)
        with torch.no_grad():
            for parameter, values in zip(parameters, kept, strict=True):
                parameter.copy_(values)
            for buffer, values in statistics:
                buffer.copy_(values)

    def _captured(self) -> Callable[[], None]:
        """The step as a CUDA graph; the warm-up's updates are undone."""
        state = [*self.net.parameters(), *self.net.buffers(), *self._velocities]
        before = [tensor.detach().clone() for tensor in state]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        self.net.train()
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._position.zero_()
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        self._position.zero_()
        with torch.cuda.graph(graph):
            self._step()
        with torch.no_grad():
            for tensor, values in zip(state, before, strict=True):
                tensor.copy_(values)
        return graph.replay


def _groups(
    net: Network, velocities: list[Tensor], training: ImageTraining
) -> dict[float, list[tuple[Tensor, Tensor | None]]]:
    """By their weight decay, parameters with their velocities; those of biases and normalisation have one dimension."""
    groups: dict[float, list[tuple[Tensor, Tensor | None]]] = {}
    for parameter, velocity in zip_longest(net.parameters(), velocities):
        decayed = training.weight_decay_on == "all" or parameter.dim() > 1
        groups.setdefault(training.weight_decay if decayed else 0.0, []).append((parameter, velocity))
    return groups
