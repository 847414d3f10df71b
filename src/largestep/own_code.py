"""Running a user's own code, which config.yaml names by a dotted name, inside a job of ours."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Iterator
from types import ModuleType

import torch

from largestep import randomness

# Letters of a message of the user's code, or of a library, in a line of ours.
LONGEST = 300


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """For the length of the block, what a script does at its top is without effect on the job.

    It sees no arguments, what it prints goes to the log, and its settings of torch (type, device, threads, gradients,
    determinism, precision) and its folder are put back.
    """
    torch_settings = _torch_settings()
    argv, sys.argv = sys.argv, sys.argv[:1]
    try:
        with contextlib.redirect_stdout(sys.stderr), contextlib.chdir(os.getcwd()):
            yield
    finally:
        sys.argv = argv
        for put_back in torch_settings:
            put_back()


def imported(module: str) -> ModuleType:
    """A module of the working directory, of PYTHONPATH or of an installed package. Raises what its code raises.

    The working directory comes last, so that a `random.py` there replaces nothing that a library imports.
    """
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    # It is imported once, and may draw numbers then, on which the weights must not depend.
    with contained(), randomness.preserved():
        return importlib.import_module(module)


def told(error: BaseException) -> str:
    """An exception in one line of bounded length."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 2]} …"


def _torch_settings() -> list[functools.partial[None]]:
    """What puts back the settings that scripts make."""
    return [
        functools.partial(torch.set_default_dtype, torch.get_default_dtype()),
        functools.partial(torch.set_default_device, None),
        functools.partial(torch.set_num_threads, torch.get_num_threads()),
        functools.partial(_set_grad_enabled, torch.is_grad_enabled()),
        functools.partial(torch.set_deterministic_debug_mode, torch.get_deterministic_debug_mode()),
        functools.partial(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision()),
        functools.partial(setattr, torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32),
        functools.partial(setattr, torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark),
    ]


def _set_grad_enabled(enabled: bool) -> None:
    torch.set_grad_enabled(enabled)
