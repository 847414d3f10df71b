"""What every toy network can do: the one face that training, the studies and the measures see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from largestep import stages

if TYPE_CHECKING:
    import torch

    from largestep.config.models import ToyNet
    from largestep.toys.update import Course, Rule, State, Task

Array = NDArray[np.float64]


class Network(Protocol):
    """A network of one output with flat float64 parameters (p,): `Net` in the module of `largestep.toys` of its kind.

    `FEATURES` beside it names the module of `largestep.measures` that measures its snapshots.

    Training calls `initial`, `outputs` and `advance`; the Jacobian is phi = [grad h(x_i)], (n, p).
    """

    # Whether a seed decides where training starts.
    random_init: bool

    def __init__(self, model: ToyNet, dimension: int) -> None:
        """model: an experiment's, as in config.yaml. dimension: of the inputs."""

    def initial(self, seeds: NDArray[np.int64]) -> Array:
        """Parameters at the start of each seed, (seeds, p)."""

    def outputs(self, parameters: Array, inputs: Array, data_set: NDArray[np.int64] | None = None) -> Array:
        """h(x) of every run, (runs, n), on its own of the inputs (data sets, n, d).

        data_set: (runs,), or None where all are on the first.
        """

    def advance(self, state: State, task: Task, course: Course, rule: Rule) -> int:
        """Take the steps of one run in place; returns how many it took before a residual stopped being finite."""

    def advance_watched(self, state: State, task: Task, course: Course, scales: Array) -> int:
        """Plain steps of one example, with the root mean square of all residuals before each in scales (steps,)."""

    def layers(self, parameters: Array) -> dict[str, Array]:
        """The weights of every layer by name, biases left out: views (..., size) of parameters (..., p)."""

    def singular_values(self, parameters: Array, inputs: Array) -> Array:
        """Of the Jacobian, largest first, NaN where a run diverged: (checkpoints, p) on inputs (n, d)."""

    def column_norms(self, parameters: Array, inputs: Array) -> Array:
        """l2 norms of the columns of the Jacobian, (checkpoints, p), for finite parameters of that shape."""

    def hessian_extremes(self, parameters: Array, task: Task) -> Array:
        """Smallest and largest eigenvalue, (2,), of the Hessian of the training loss; NaN where it is not finite.

        It is c/n (phi^T phi + sum_i r_i H_i) with residuals r_i, H_i the Hessians of the outputs, and c the residual
        factor of the task. parameters: (p,).
        """

    def module(self, parameters: Array) -> torch.nn.Module:
        """The same network in torch, in float64: inputs (n, d) to outputs (n, 1)."""


@runtime_checkable
class Linear(Protocol):
    """A toy network that is linear in its inputs."""

    def predictor(self, parameters: Array) -> Array:
        """The linear predictor, (..., d), of parameters (..., p)."""


@runtime_checkable
class Curved(Protocol):
    """A toy network that knows the curvature of mini-batches along their gradients."""

    def along_gradients(self, parameters: Array, task: Task, batches: NDArray[np.int64]) -> tuple[Array, Array]:
        """g'Hg and g'g of every mini-batch, both (batches,), with the gradient and the Hessian of its own loss.

        parameters: (p,); batches: (batches, examples of one), examples of the task.
        """


@runtime_checkable
class Lawful(Protocol):
    """A toy network whose predictor follows from the gradients that SGD has met (`largestep.studies.exact_law`)."""

    def follow_law(
        self, parameters: Array, log_a: Array, rho: Array, task: Task, indices: NDArray[np.int64], sizes: Array
    ) -> int:
        """Take plain steps of one example (steps,) in place, adding to log a and rho (d,); returns how many it took."""


@runtime_checkable
class Rescalable(Protocol):
    """A toy network whose units can be rescaled without a change of its function (`largestep.measures.rescaling`)."""

    def rescalable_units(self) -> int:
        """How many there are."""

    def rescaled(self, parameters: Array, factors: Array) -> Array:
        """Parameters (..., p) with what goes into each unit times its factor, and what goes out of it over that.

        factors: (..., units), above 0.
        """


@runtime_checkable
class Shapable(Protocol):
    """A toy network that knows the noise of SGD's gradient, and can take steps with noise of another shape."""

    def advance_shaped(self, parameters: Array, task: Task, sizes: Array, normal: Array, shape: int) -> int:
        """Full-batch steps (steps,) of one run in place; returns how many before a residual is not finite.

        shape, normal: as in `largestep.toys.diagonal_kernels.advance_shaped`.
        """


def shapable(net: Network) -> Shapable:
    """The same network. Raises ValueError for one that does not know its noise."""
    if not isinstance(net, Shapable):
        raise ValueError(f"{type(net).__module__} has no advance_shaped")
    return net


@runtime_checkable
class Layered(Protocol):
    """A toy network of dense layers with ReLU between them."""

    def matrices(self, parameters: Array) -> list[tuple[Array, Array | None]]:
        """Weights (rows, columns) and biases (rows,), None without, of every layer, for parameters (p,)."""


def layered(net: Network) -> Layered:
    """The same network. Raises ValueError for one without layers of units."""
    if not isinstance(net, Layered):
        raise ValueError(f"{type(net).__module__} has no matrices")
    return net


def lawful(net: Network) -> Lawful:
    """The same network. Raises ValueError for one without the law."""
    if not isinstance(net, Lawful):
        raise ValueError(f"{type(net).__module__} has no follow_law")
    return net


def curved(net: Network) -> Curved:
    """The same network. Raises ValueError for one that does not know its curvature."""
    if not isinstance(net, Curved):
        raise ValueError(f"{type(net).__module__} has no along_gradients")
    return net


def linear(net: Network) -> Linear:
    """The same network. Raises ValueError for one that is not linear in its inputs."""
    if not isinstance(net, Linear):
        raise ValueError(f"{type(net).__module__} has no linear predictor")
    return net


def network(model: ToyNet, dimension: int) -> Network:
    """The toy network of an experiment's model. Raises ValueError for a kind that is none."""
    net: Network = stages.worker("toys", model.kind).Net(model, dimension)
    return net
