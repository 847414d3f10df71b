"""A training job that is killed again and again ends with the bits of one that is not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from largestep import stages, store
from largestep.data import digits, image_set
from largestep.keys import canonical
from tests.image_runs import spec
from tests.reliability.conftest import Counted
from tests.settings import as_settings

KILLS = int(os.environ.get("LARGESTEP_KILLS", "2"))
# A job is killed at a random moment after its first save. All kills together leave it most of its work to do.
SHARE = 0.4
SETTINGS = {"kind": "digits", "examples": 1000, "test_examples": 100, "seed": 0}


def job(folder: Path, name: str, epochs: int) -> list[str]:
    """The command of a training job: two seeds, momentum and augmentation; many processors only emulate bfloat16."""
    settings = spec(0.1, seeds=2, epochs=epochs, momentum=0.9, evaluations=epochs, batch_size=64)
    settings["data"]["data"] = SETTINGS
    settings["training"]["augmentation"] = {"crop_padding": 1, "flip": True}
    settings["model"]["width"] = 4
    settings["first_seed"] = 0
    return [
        *(sys.executable, "-m", "largestep.train_images", "--spec", canonical(settings)),
        *("--data", str(folder / "digits.safetensors"), "--output", str(folder / name / "train.nc")),
        *("--snapshots", str(folder / name / "snapshots.nc"), "--checkpoints", str(folder / name / "checkpoints")),
        *("--checkpoint-every", "0.2"),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = digits.prepare(as_settings({"kind": "digits"}), tmp_path, None)
    path = tmp_path / "digits.safetensors"
    image_set.write(path, images, spec=canonical({"data": {"kind": "digits"}}), code=stages.chain("images", "digits"))
    return tmp_path


def test_a_job_killed_at_random_times_ends_as_one_that_is_not(folder: Path, counted: Counted) -> None:
    survives_kills(folder, KILLS, "cpu")
    counted("kills survived, of one training job", KILLS)


def survives_kills(folder: Path, kills: int, device: str) -> None:
    """Kill a job so often, at random moments, and compare what it ends with."""
    epochs = 5 * kills
    environment = os.environ | {"LARGESTEP_DEVICE": device, "OMP_NUM_THREADS": "1"}
    start = time.monotonic()
    subprocess.run(job(folder, "undisturbed", epochs), check=True, capture_output=True, env=environment)
    longest = SHARE * (time.monotonic() - start) / kills
    draw, checkpoints, progress = random.Random(0), folder / "killed/checkpoints", []
    for kill in range(kills):
        before = saved_at(checkpoints)
        process = subprocess.Popen(job(folder, "killed", epochs), stderr=subprocess.DEVNULL, env=environment)
        while saved_at(checkpoints) == before and process.poll() is None:
            time.sleep(0.02)
        time.sleep(draw.uniform(0.0, longest))
        assert process.poll() is None, f"the job ended by itself after {kill} kills; give it more to do"
        process.send_signal(signal.SIGKILL)
        process.wait()
        progress.append(len(list(checkpoints.glob("*.safetensors"))))
    done = subprocess.run(job(folder, "killed", epochs), check=True, capture_output=True, text=True, env=environment)
    print(f"{kills} kills; files of checkpoints after each: {progress}; {done.stderr.splitlines()[-1]}")
    for name in ("train.nc", "snapshots.nc"):
        one, other = (store.read(folder / each / name) for each in ("undisturbed", "killed"))
        assert one.attrs["content_sha256"] == other.attrs["content_sha256"], name
    assert not checkpoints.exists()


def saved_at(folder: Path) -> int:
    """When anything was last saved, in nanoseconds; 0 for never."""
    return max((path.stat().st_mtime_ns for path in folder.glob("run*.safetensors")), default=0)
