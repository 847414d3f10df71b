"""A user's own image classifier, named by a dotted name in config.yaml."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from largestep.models.networks import Network
from largestep.own_code import contained, imported, told
from largestep.store import StoreError

if TYPE_CHECKING:
    from largestep.config import models

# Names of submodules that an error message lists in full; of a larger network it lists the outer ones.
LISTED = 40


def build(model: models.CustomModel, channels: int, classes: int, size: tuple[int, int]) -> Custom:
    """The network that a user's class or function makes, with the weights that it draws itself.

    model: `kind`, such as "my_nets.wide.Net", importable from the working directory; `options`, its arguments;
    `blocks`, names of the submodules whose outputs are blocks 1 to K, which a network with a method
    `blocks(images)` need not have. Of channels, classes and size it is given those that its signature names.
    Raises StoreError, one line, where it cannot be made; `largestep.images.trial` tells whether it can be trained.
    """
    dotted = model.kind
    net = _make(dotted, model.options, {"channels": channels, "classes": classes, "size": size})
    custom = Custom(dotted, net.float(), model.blocks)
    _materialise(custom, torch.zeros(2, channels, *size))
    return custom


class Custom(Network):
    """A user's network and what its blocks are.

    dotted: the name it goes by in error messages. names: of submodules; none if the network has its own `blocks`.
    Raises StoreError when it has no such submodule. The state dictionary is that of the user's network.
    """

    def __init__(self, dotted: str, net: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.dotted, self.net, self.names = dotted, net, list(names)
        known = [name for name, _ in net.named_modules() if name]
        outer = [name for name in known if name.count(".") < 2]
        listed = ", ".join(known if len(known) <= LISTED else [*outer, "and those inside them"]) or "none"
        # Looked up in the class: a submodule called blocks is no method.
        self.own_blocks: Any = getattr(type(net), "blocks", None)
        if not names and not callable(self.own_blocks):
            raise self.error("model.blocks", f"name the submodules whose outputs are blocks 1 to K; there are {listed}")
        for name in names:
            if name not in known:
                raise self.error("model.blocks", f"there is no submodule {name}; there are {listed}")

    def blocks(self, images: Tensor) -> list[Tensor]:
        """What the named submodules put out, the last time where one is called more than once.

        images: (n, channel, row, column). Raises StoreError when an output cannot be a block.
        """
        blocks = self._recorded(images) if self.names else dict(enumerate(self.own_blocks(self.net, images), start=1))
        for name, block in blocks.items():
            if not isinstance(block, Tensor) or block.dim() not in (2, 4) or len(block) != len(images):
                wanted = "(n, channel, row, column) or (n, unit)"
                raise self.error("model.blocks", f"block {name} must have the shape {wanted}, not {_shape(block)}")
        return list(blocks.values())

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, channel, row, column)."""
        logits: Tensor = self.net(images)
        return logits

    def parts(self) -> dict[str, nn.Module]:
        """The outermost submodules."""
        return dict(self.net.named_children())

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """That of the user's network."""
        return self.net.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load into the user's network."""
        return self.net.load_state_dict(*args, **kwargs)

    def error(self, key: str, text: str) -> StoreError:
        """What to raise when the network cannot be used."""
        return _error(self.dotted, key, text)

    def _recorded(self, images: Tensor) -> dict[str, Any]:
        outputs: dict[str, Any] = {}

        def recorder(name: str) -> Callable[[nn.Module, object, Any], None]:
            def record(module: nn.Module, args: object, output: Any) -> None:
                # A ReLU that works in place would overwrite what it was given.
                outputs[name] = output.clone() if isinstance(output, Tensor) else output

            return record

        hooks = [self.net.get_submodule(name).register_forward_hook(recorder(name)) for name in self.names]
        try:
            self.net(images)
        finally:
            for hook in hooks:
                hook.remove()
        for name in self.names:
            if name not in outputs:
                raise self.error("model.blocks", f"the network does not call its submodule {name}")
        return {name: outputs[name] for name in self.names}


def _make(dotted: str, options: Mapping[str, Any], offered: Mapping[str, Any]) -> nn.Module:
    factory = _look_up(dotted)
    if isinstance(factory, nn.Module) or not callable(factory):
        raise _error(dotted, "model.kind", f"must be a class or function that makes a network, not {_a(factory)}")
    try:
        taken = {name: value for name, value in offered.items() if name in inspect.signature(factory).parameters}
    except ValueError:  # a signature that Python cannot tell
        taken = {}
    try:
        with contained():
            net = factory(**{**taken, **options})
    except (Exception, SystemExit) as error:
        raise _error(dotted, "model.options", f"making the network with them failed: {told(error)}") from error
    if not isinstance(net, nn.Module):
        raise _error(dotted, "model.kind", f"must make a torch.nn.Module, not {_a(net)}")
    return net


def _look_up(dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    try:
        holder = imported(module)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            raise _error(
                dotted, "model.kind", f"there is no module {error.name} in the working directory or on PYTHONPATH"
            ) from error
        raise _error(dotted, "model.kind", f"importing {module} failed: {told(error)}") from error
    if not hasattr(holder, name):
        raise _error(dotted, "model.kind", f"the module {module} has no {name}; it is {_place(holder)}")
    return getattr(holder, name)


def _materialise(custom: Custom, images: Tensor) -> None:
    """Have layers that take their sizes from the first images, such as LazyLinear, draw their weights; in place."""
    if any(isinstance(parameter, nn.UninitializedParameter) for parameter in custom.parameters()):
        try:
            with torch.no_grad():
                custom.eval()(images)
        except (Exception, SystemExit) as error:
            raise custom.error("model.kind", f"fails on {len(images)} images: {told(error)}") from error
        custom.train()


def _error(dotted: str, key: str, text: str) -> StoreError:
    return StoreError(f"config.yaml: {key}{' ' if key == 'model.kind' else ' of '}{dotted}: {text}")


def _place(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or "built into Python"


def _a(thing: object) -> str:
    return f"an object of type {type(thing).__name__}"


def _shape(output: object) -> str:
    return f"({', '.join(map(str, output.shape))})" if isinstance(output, Tensor) else _a(output)
