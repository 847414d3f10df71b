"""How far off the gradient of a mini-batch is in float32, TF32 and bfloat16, against float64: no GPU is needed.

TF32 is emulated: convolutions and linear layers take operands rounded to 10 bits of the mantissa, those of the backward
pass too, and add up in float32. bfloat16 is the autocast that the trainer uses. Errors are relative, in the norm of all
parameters; beside them stands how far the gradient of another mini-batch is, in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from largestep.data.image_set import ImageSet
from largestep.models import networks

# Bits of a float32's mantissa, and those of them that TF32 leaves out.
MANTISSA, LEFT_OUT = 23, 13
BATCH, STEPS, STEP_SIZE, SEEDS = 128, 60, 0.5, 2


def rounded(values: Tensor) -> Tensor:
    """float32 values with 10 bits of mantissa, to the nearest, as an A100 takes them."""
    bits = values.contiguous().view(torch.int32)
    half = 1 << (LEFT_OUT - 1)
    return ((bits + half) & ~((1 << LEFT_OUT) - 1)).view(torch.float32)


class _Operand(torch.autograd.Function):
    """Round what goes forwards."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return rounded(values)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class _Result(torch.autograd.Function):
    """Round what comes backwards, an operand of both products there."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return rounded(gradients[0])


class TensorFloat32(TorchFunctionMode):
    """Within it convolutions and linear layers compute as with TF32."""

    def __torch_function__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Round the operands of products, and leave all else as it is."""
        if call in (torch.conv2d, functional.conv2d, functional.linear):
            args = (_Operand.apply(args[0]), _Operand.apply(args[1]), *args[2:])
            return _Result.apply(call(*args, **(kwargs or {})))
        return call(*args, **(kwargs or {}))


# By name, in which type and within what a gradient is computed.
WAYS: dict[str, tuple[torch.dtype, Callable[[], AbstractContextManager[Any]]]] = {
    "float32": (torch.float32, nullcontext),
    "TF32": (torch.float32, TensorFloat32),
    "bfloat16": (torch.float32, lambda: torch.autocast("cpu", torch.bfloat16, cache_enabled=False)),
}


def gradient(net: torch.nn.Module, images: Tensor, labels: Tensor, within: AbstractContextManager[Any]) -> Tensor:
    """That of the cross-entropy in training mode, in float64, (p,)."""
    parameters = list(net.parameters())
    with within:
        logits = net.train()(images.to(parameters[0].dtype))
    loss = functional.cross_entropy(logits.to(parameters[0].dtype), labels)
    return torch.cat([each.flatten().double() for each in torch.autograd.grad(loss, parameters)])


def errors(model: Any, images: ImageSet, steps: int, seed: int, batch: int = BATCH) -> dict[str, float]:
    """The relative error of each way after so many updates of SGD, and how far the gradient of another batch is."""
    net = networks.draw(model, images.channels, images.classes, images.size, seed)
    inputs = networks.inputs(images.train_images, images.white_level)
    draw = np.random.default_rng(seed)

    def drawn() -> tuple[Tensor, Tensor]:
        chosen = torch.from_numpy(draw.permutation(len(inputs))[:batch])
        return inputs[chosen], images.train_labels[chosen]

    for _ in range(steps):
        moved = gradient(net, *drawn(), nullcontext()).float().split([p.numel() for p in net.parameters()])
        with torch.no_grad():
            for parameter, change in zip(net.parameters(), moved, strict=True):
                parameter.sub_(STEP_SIZE * change.view(parameter.shape))
    state, (pictures, labels), other = net.state_dict(), drawn(), drawn()

    def at(dtype: torch.dtype, pictures: Tensor, labels: Tensor, within: AbstractContextManager[Any]) -> Tensor:
        same = networks.draw(model, images.channels, images.classes, images.size, seed)
        same.load_state_dict(state)
        return gradient(same.to(dtype), pictures, labels, within)

    exact = at(torch.float64, pictures, labels, nullcontext())
    taken = {name: at(dtype, pictures, labels, within()) for name, (dtype, within) in WAYS.items()}
    taken["another batch"] = at(torch.float64, *other, nullcontext())
    return {name: float((each - exact).norm() / exact.norm()) for name, each in taken.items()}


def table(model: Any, images: ImageSet) -> str:
    """The least and the largest error of `SEEDS` seeds, at first and after `STEPS` updates, as text."""
    lines = [f"{'relative error of a gradient':<28}" + "".join(f"{name:>18}" for name in (*WAYS, "another batch"))]
    for name, steps in (("at the init", 0), (f"after {STEPS} updates at {STEP_SIZE:g}", STEPS)):
        seeds = [errors(model, images, steps, seed) for seed in range(SEEDS)]
        ranges = [f"{min(each[way] for each in seeds):.2g}-{max(each[way] for each in seeds):.2g}" for way in seeds[0]]
        lines.append(f"{name:<28}" + "".join(f"{each:>18}" for each in ranges))
    return "\n".join(lines)
