"""A training job that is killed again and again ends with the bits of one that is not."""

from __future__ import annotations

import json
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

KILLS = int(os.environ.get("LARGESTEP_KILLS", "3"))
# A killed job gets this long at least, so that it has started; and at most, so that it has not yet finished.
SHORTEST, LONGEST = 3.0, 7.0
SETTINGS = {"kind": "digits", "examples": 1000, "test_examples": 100, "seed": 0}


def job(folder: Path, name: str, epochs: int) -> list[str]:
    """The command of a training job: two seeds, momentum and augmentation, bfloat16."""
    about = spec(0.1, seeds=2, epochs=epochs, momentum=0.9, precision="bfloat16", evaluations=epochs, batch_size=64)
    about["data"]["data"] = SETTINGS
    about["training"]["augmentation"] = {"crop_padding": 1, "flip": True}
    about["model"]["width"] = 4
    return [
        *(sys.executable, "-m", "largestep.train_images", "--spec", canonical(about)),
        *("--data", str(folder / "digits.safetensors"), "--output", str(folder / name / "train.nc")),
        *("--snapshots", str(folder / name / "snapshots.nc"), "--checkpoints", str(folder / name / "checkpoints")),
        *("--checkpoint-every", "0.2"),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = digits.prepare({"kind": "digits"}, tmp_path, None)
    path = tmp_path / "digits.safetensors"
    image_set.write(path, images, spec=canonical({"data": {"kind": "digits"}}), code=stages.chain("images", "digits"))
    return tmp_path


def test_a_job_killed_at_random_times_ends_as_one_that_is_not(folder: Path) -> None:
    epochs = 40 * (1 + KILLS // 4)
    environment = os.environ | {"LARGESTEP_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    subprocess.run(job(folder, "undisturbed", epochs), check=True, capture_output=True, env=environment)
    draw, kills, progress = random.Random(0), 0, []
    while kills < KILLS:
        process = subprocess.Popen(job(folder, "killed", epochs), stderr=subprocess.DEVNULL, env=environment)
        time.sleep(draw.uniform(SHORTEST, LONGEST))
        if process.poll() is not None:
            pytest.fail(f"the job ended by itself after {kills} kills; give it more to do")
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        progress.append(len(list((folder / "killed/checkpoints").glob("*.safetensors"))))
    done = subprocess.run(job(folder, "killed", epochs), check=True, capture_output=True, text=True, env=environment)
    print(f"{kills} kills; files of checkpoints after each: {progress}; {done.stderr.splitlines()[-1]}")
    assert progress[-1] > 0
    for name in ("train.nc", "snapshots.nc"):
        one, other = (store.read(folder / each / name) for each in ("undisturbed", "killed"))
        assert one.attrs["content_sha256"] == other.attrs["content_sha256"], name
        json.loads(one.attrs["spec"])
    assert not (folder / "killed/checkpoints").exists()
