"""Which device a job computes on, and that it computes the same there every time.

Jobs of a workflow start side by side. Each takes a GPU for itself, by the lock on a file that the kernel releases when
the process ends, however it ends.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from largestep.machine import processor
from largestep.store import StoreError

KINDS = ("auto", "cpu", "cuda")
RETRY_S = 1.0
REMINDER_S = 60.0
# How errors without a type of their own say it: those of torch's allocator on a CPU, and of CUDA's libraries.
CPU_FULL = ("can't allocate memory", "not enough memory")
GPU_FULL = ("CUDA error: out of memory", "STATUS_ALLOC_FAILED")


def prepare(threads: int) -> None:
    """Have torch compute with a number of threads, in full float32, and give the same result every time.

    Must come before the first use of a GPU.
    """
    # cuBLAS is deterministic only with a workspace of fixed size, which it reads when it starts.
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    # The compiler of GPU code would choose kernels by their time as well.
    os.environ["TORCHINDUCTOR_DETERMINISTIC"] = "1"
    torch.set_num_threads(threads)
    # use_deterministic_algorithms does this too, but imports the compiler of GPU code: longer than torch itself.
    torch.set_deterministic_debug_mode("error")
    # Nothing here reads memory that was never written; filling it costs a tenth of the time of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # TF32 would round float32 to ten bits without a word; convolutions do so by default.
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    # It would choose algorithms by their time.
    torch.backends.cudnn.benchmark = False


@contextmanager
def device(name: str | None = None) -> Iterator[torch.device]:
    """The device to compute on: a GPU that this process holds for the length of the block, or the CPU.

    name: `auto` (a GPU if torch sees one), `cpu` or `cuda`; LARGESTEP_DEVICE if not given, `auto` without that.
    At most LARGESTEP_JOBS_PER_GPU jobs of a user share a GPU, 1 if it is not set; the block waits for a free one.
    Raises StoreError for `cuda` without a GPU and for settings that mean nothing.
    """
    wanted = name or os.environ.get("LARGESTEP_DEVICE") or "auto"
    if wanted not in KINDS:
        raise StoreError(f"config.yaml: device.kind must be one of {', '.join(KINDS)}, not {wanted}")
    available = wanted != "cpu" and torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise StoreError(
            "config.yaml: device.kind cuda, but torch sees no GPU; check nvidia-smi, CUDA_VISIBLE_DEVICES and that "
            "torch is built for CUDA, or set device.kind to auto"
        )
    if not available:
        yield torch.device("cpu")
        return
    slots = _slots(os.environ.get("LARGESTEP_JOBS_PER_GPU") or "1")
    # Numbers of devices differ between jobs of a cluster that see one each; these do not.
    ids = [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]
    with take(ids, slots, Path(tempfile.gettempdir()) / f"largestep-devices-{os.getuid()}") as index:
        torch.cuda.set_device(index)
        yield torch.device("cuda", index)


@contextmanager
def take(ids: Sequence[str], slots: int, folder: Path) -> Iterator[int]:
    """Hold a slot of one of several devices: the index of the device into `ids`.

    slots: of each device. A device is shared only when all are taken. Processes that name the same folder never hold
    the same slot. Waits when none is free, with a line on stderr now and then.
    Raises StoreError when the folder cannot be used.
    """
    slots_in_turn = [(index, f"{each}.{slot}.lock") for slot in range(slots) for index, each in enumerate(ids)]
    locks = [(index, FileLock(folder / name)) for index, name in slots_in_turn]
    reminder = time.monotonic()
    while (held := _first_free(locks, folder)) is None:
        if time.monotonic() >= reminder:
            print(f"no GPU is free: {len(ids)} with {slots} job(s) each; waiting", file=sys.stderr, flush=True)
            reminder += REMINDER_S
        time.sleep(RETRY_S)
    index, lock = held
    try:
        yield index
    finally:
        lock.release()


@contextmanager
def out_of_memory(cell: str, lower: str = "training.batch_size or model.width") -> Iterator[None]:
    """Turn running out of memory, on any device, into one line that names the cell and says what to lower.

    lower: the keys of config.yaml that decide how much is needed.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not memory_is_full(error):
            raise
        on_gpu = _gpu_is_full(error)
        full = describe(torch.device("cuda" if on_gpu else "cpu"))
        shared = ", or device.jobs_per_gpu" if on_gpu else ""
        raise StoreError(f"{cell}: out of memory on {full}; lower {lower} in config.yaml{shared}") from error


def memory_is_full(error: BaseException) -> bool:
    """Whether an error says that the memory of a device or of the machine does not suffice."""
    on_cpu = isinstance(error, MemoryError) or any(sign in str(error) for sign in CPU_FULL)
    return on_cpu or _gpu_is_full(error)


def describe(device: torch.device) -> str:
    """The name of a GPU, such as "NVIDIA H100 80GB HBM3", or of the CPU's model."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor()


def _gpu_is_full(error: BaseException) -> bool:
    # The capture of a graph that is cut short raises an error of its own over it.
    chain = [error, *([error.__context__] if error.__context__ else [])]
    return any(isinstance(each, torch.OutOfMemoryError) for each in chain) or any(
        sign in str(error) for sign in GPU_FULL
    )


def _slots(jobs: str) -> int:
    if not jobs.isdecimal() or int(jobs) < 1:
        raise StoreError(f"config.yaml: device.jobs_per_gpu must be a whole number from 1 on, not {jobs}")
    return int(jobs)


def _first_free(locks: Sequence[tuple[int, FileLock]], folder: Path) -> tuple[int, FileLock] | None:
    """The first lock that nobody holds, now held by this process, with its device."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for index, lock in locks:
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            return index, lock
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot hold the locks of GPUs: {error.strerror or error}; set TMPDIR to a folder of your own"
        ) from error
    return None
