"""Devices: which one a job takes, that jobs do not share one unasked, and what is said when memory runs out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from largestep import devices
from largestep.store import StoreError
from tests import forked


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings from outside, none left behind, quick waiting."""
    for name in ("LARGESTEP_DEVICE", "LARGESTEP_JOBS_PER_GPU", "CUBLAS_WORKSPACE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(devices, "RETRY_S", 0.02)
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)
    torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes that start quickly, because torch is imported once for all of them."""
    return forked.context()


def hold(folder: Path, slots: int, seconds: float, result: Any) -> None:
    """Take a slot on one of two devices, mark it as held in the file system, and say which and whether it was free."""
    devices.RETRY_S = 0.02
    with devices.take(["GPU-a", "GPU-b"], slots, folder) as index:
        marks = [folder / f"{index}.{slot}.mark" for slot in range(slots)]
        mark = next((mark for mark in marks if made(mark)), None)
        result.put((index, mark is not None))
        time.sleep(seconds)
        if mark is not None:
            mark.unlink()


def hold_the_only_slot(folder: Path, result: Any) -> None:
    """Take the only slot of the only device and keep it."""
    devices.RETRY_S = 0.02
    with devices.take(["GPU-a"], 1, folder):
        result.put(time.monotonic())
        time.sleep(60)


def wait_loudly(folder: Path, log: Path, result: Any) -> None:
    """The same, with stderr in a file and a reminder every tenth of a second."""
    devices.RETRY_S, devices.REMINDER_S = 0.02, 0.1
    with log.open("w") as sys.stderr:
        hold_the_only_slot(folder, result)


def made(mark: Path) -> bool:
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@pytest.mark.parametrize("slots", [1, 2])
def test_processes_never_share_a_slot(tmp_path: Path, processes: ForkServerContext, slots: int) -> None:
    result = processes.Queue()
    jobs = [processes.Process(target=hold, args=(tmp_path, slots, 0.15, result)) for _ in range(8)]
    for job in jobs:
        job.start()
    taken = [result.get(timeout=60) for _ in jobs]
    for job in jobs:
        job.join(60)
        assert job.exitcode == 0
    assert all(free for _, free in taken)
    assert {index for index, _ in taken} == {0, 1}


def test_a_job_that_is_killed_frees_its_device_at_once(tmp_path: Path, processes: ForkServerContext) -> None:
    first, second = processes.Queue(), processes.Queue()
    holder = processes.Process(target=hold_the_only_slot, args=(tmp_path, first))
    waiting = processes.Process(target=hold_the_only_slot, args=(tmp_path, second))
    holder.start()
    first.get(timeout=60)
    waiting.start()
    time.sleep(0.5)
    assert second.empty()
    os.kill(holder.pid or 0, signal.SIGKILL)
    killed = time.monotonic()
    assert second.get(timeout=60) - killed < 2.0
    waiting.kill()
    for job in (holder, waiting):
        job.join(60)


def test_a_device_is_shared_only_when_all_are_taken(tmp_path: Path) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(devices.take(["GPU-a", "GPU-b"], 2, tmp_path)) for _ in range(4)]
    assert held == [0, 1, 0, 1]
    with devices.take(["GPU-b"], 1, tmp_path) as index:  # as a job that sees only the second device
        assert index == 0
        with devices.take(["GPU-a", "GPU-b"], 1, tmp_path) as other:
            assert other == 0
        with devices.take(["GPU-b", "GPU-a"], 1, tmp_path) as other:
            assert other == 1


def test_a_device_is_free_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="in the block"), devices.take(["GPU-a"], 1, tmp_path):
            raise ValueError("in the block")


def test_who_waits_says_so_now_and_then(tmp_path: Path, processes: ForkServerContext) -> None:
    result, log = processes.Queue(), tmp_path / "log"
    with devices.take(["GPU-a"], 1, tmp_path):
        waiting = processes.Process(target=wait_loudly, args=(tmp_path, log, result))
        waiting.start()
        deadline = time.monotonic() + 60
        while (not log.exists() or log.read_text().count("\n") < 2) and time.monotonic() < deadline:
            time.sleep(0.05)
    result.get(timeout=60)
    waiting.kill()
    waiting.join(60)
    assert set(log.read_text().splitlines()) == {"no GPU is free: 1 with 1 job(s) each; waiting"}


def test_a_folder_that_cannot_be_used_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StoreError, match=r"^\S+/file: cannot hold the locks of GPUs: .*; set TMPDIR to a folder"),
        devices.take(["GPU-a"], 1, tmp_path / "file"),
    ):
        pass


def test_without_a_gpu_auto_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with devices.device() as chosen:
        assert chosen == torch.device("cpu")


def test_without_a_gpu_cuda_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("LARGESTEP_DEVICE", "cuda")
    with (
        pytest.raises(StoreError, match=r"^config\.yaml: device\.kind cuda, but torch sees no GPU; [^\n]*$"),
        devices.device(),
    ):
        pass


def test_an_unknown_kind_of_device_is_refused() -> None:
    with (
        pytest.raises(StoreError, match=r"device\.kind must be one of auto, cpu, cuda, not gpu"),
        devices.device("gpu"),
    ):
        pass


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What torch says where it sees two GPUs, and which it was told to use."""
    used: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"5cf2-{index}"))
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    return used


def test_jobs_take_a_gpu_each(two_gpus: list[int], tmp_path: Path) -> None:
    with devices.device() as first, devices.device("cuda") as second, devices.device("cpu") as third:
        assert (first, second, third) == (torch.device("cuda", 0), torch.device("cuda", 1), torch.device("cpu"))
        assert two_gpus == [0, 1]
        folder = tmp_path / f"largestep-devices-{os.getuid()}"
        assert {path.name for path in folder.iterdir()} == {"5cf2-0.0.lock", "5cf2-1.0.lock"}
        assert folder.stat().st_mode & 0o077 == 0


def test_the_environment_says_how_many_jobs_share_a_gpu(two_gpus: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARGESTEP_JOBS_PER_GPU", "2")
    with devices.device(), devices.device(), devices.device() as third:
        assert third == torch.device("cuda", 0)


@pytest.mark.parametrize("jobs", ["0", "two", "-1", "1.5"])
def test_a_meaningless_number_of_jobs_is_refused(
    two_gpus: list[int], monkeypatch: pytest.MonkeyPatch, jobs: str
) -> None:
    monkeypatch.setenv("LARGESTEP_JOBS_PER_GPU", jobs)
    with (
        pytest.raises(StoreError, match=rf"device\.jobs_per_gpu must be a whole number from 1 on, not {jobs}$"),
        devices.device(),
    ):
        pass


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_computes_float32_in_full() -> None:
    devices.prepare(1)
    with devices.device("cuda") as gpu:
        a, b = torch.rand(2, 256, 256, generator=torch.Generator().manual_seed(0))
        exact = a.double() @ b.double()
        torch.testing.assert_close((a.to(gpu) @ b.to(gpu)).cpu().double(), exact, rtol=1e-5, atol=1e-5)
        images, filters = torch.rand(4, 64, 16, 16), torch.rand(64, 64, 3, 3)
        convolved = torch.nn.functional.conv2d(images.to(gpu), filters.to(gpu)).cpu().double()
        expected = torch.nn.functional.conv2d(images.double(), filters.double())
        torch.testing.assert_close(convolved, expected, rtol=1e-5, atol=1e-4)
        assert "NVIDIA" in devices.describe(gpu) or "AMD" in devices.describe(gpu)


def test_preparing_leaves_nothing_to_chance_or_to_short_floats() -> None:
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    devices.prepare(1)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def raise_out_of_memory(how: str) -> None:
    if how == "torch":
        torch.empty(10**15)
    elif how == "numpy":
        np.empty(10**15)
    elif how == "gpu":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation")
    else:
        raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")


@pytest.mark.parametrize(("how", "on_gpu"), [("torch", False), ("numpy", False), ("gpu", True), ("cudnn", True)])
def test_running_out_of_memory_names_the_cell_and_what_to_lower(
    how: str, on_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    with pytest.raises(StoreError) as caught, devices.out_of_memory("cifar.large"):
        raise_out_of_memory(how)
    name = "NVIDIA H100 80GB HBM3" if on_gpu else devices.describe(torch.device("cpu"))
    lower = "lower training.batch_size or model.width in config.yaml" + (", or device.jobs_per_gpu" if on_gpu else "")
    assert str(caught.value) == f"cifar.large: out of memory on {name}; {lower}"


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), StoreError("a.nc: is stale"), KeyError("a")])
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, devices.out_of_memory("cifar.large"):
        raise error
    assert caught.value is error


def test_a_cpu_has_a_name() -> None:
    assert devices.describe(torch.device("cpu")).strip()


def test_preparing_imports_neither_the_compiler_of_gpu_code_nor_torchvision() -> None:
    # Each takes longer to import than torch, in every job of an image classifier.
    script = (
        "import sys, torch; from largestep import devices, train_images; devices.prepare(1); "
        "print(torch.are_deterministic_algorithms_enabled(), {'torch._inductor', 'torchvision'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "True set()\n"
