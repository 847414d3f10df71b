"""Train some seeds of one cell of an image classifier, on a GPU where there is one, going on where a killed job was."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from largestep import devices, stages, store
from largestep.cli import run
from largestep.data import image_set
from largestep.images.checkpoints import Checkpoints, alone
from largestep.keys import digest
from largestep.specs.cells import SeedsSpec
from largestep.train import arguments, write


def main() -> None:
    """Train these seeds and write their two stores."""
    parser = arguments("train_images", __doc__, SeedsSpec.read)
    parser.add_argument("--checkpoints", required=True, type=Path, help="folder for what a killed job continues from")
    parser.add_argument(
        "--checkpoint-every", type=float, default=30.0, help="seconds at least between two of them (default: 30)"
    )
    options = parser.parse_args()
    clock = store.Clock()
    spec: SeedsSpec = options.spec
    devices.prepare(options.threads)
    kinds = spec.data.data.kind, spec.model.kind
    images = stages.reader(kinds[0]).read_problem(options.data, spec.data)
    code = stages.chain("train", *kinds)
    with alone(options.checkpoints) as waited:
        if waited and _are_made(options, code):
            print(f"{spec.cell}: trained by that process", file=sys.stderr)
            return
        with devices.device() as device, devices.out_of_memory(spec.cell):
            used = devices.describe(device)
            shown = image_set.content(images)
            # torchvision takes longer to import than torch, and not every network needs it.
            versions = (torch.__version__, version("torchvision"), np.__version__)
            key = digest(spec.text(), code, shown, used, str(options.threads), *versions)
            kept = Checkpoints(options.checkpoints, key, every=options.checkpoint_every)
            trained = stages.worker("train", kinds[1]).train(spec, images, device, kept, spec.first_seed)
            # What a user's own function returns is in no other digest.
            trained.losses.attrs["images_sha256"] = shown
        seeds = range(spec.first_seed, spec.first_seed + spec.training.seeds)
        write(dataclasses.replace(trained, device=used), spec, seeds, options, code, clock)
        kept.remove()


def _are_made(options: argparse.Namespace, code: str) -> bool:
    """Whether both stores are there and what they should be."""
    try:
        for path in (options.snapshots, options.output):
            with store.opened(path, spec=options.spec.text(), code=code):
                pass
    except store.StoreError:
        return False
    return True


if __name__ == "__main__":
    run(main)
