"""What stages use and what yet decides no number: the one list of it, with the reasons.

A name here is a module or a definition of one. Neither it nor what only it uses counts in any digest.
`tests/unit/test_outside.py` runs stages with all of it replaced and compares what they compute.
"""

from __future__ import annotations

FILES = "how files are replaced, locked or moved aside; their content is what it is given"
REFUSES = "ends a job or lets it go on; what goes on is the same"
SETTINGS = "makes settings of specs; their values are in the specs themselves"
TELLS = "words for a person, or times and names of machines, which no checksum covers"

OUTSIDE = {
    "largestep.stages": "names the workers of all stages by text; the one that a stage uses counts itself",
    "largestep.fingerprint": "makes the digests",
    "largestep.specs.base": SETTINGS,
    "largestep.specs.cells": SETTINGS,
    "largestep.specs.studies": SETTINGS,
    "largestep.specs.aggregates": SETTINGS,
    "largestep.cli": "reads command lines; all that decides a number comes in the spec",
    "largestep.train.arguments": "reads command lines; all that decides a number comes in the spec",
    "largestep.train_images._are_made": REFUSES,
    "largestep.sparsity_images._Together": TELLS,
    "largestep.images.checkpoints": "keeps what a killed job continues from, bit for bit",
    "largestep.devices.device": "takes a free GPU; which kind there is, no code decides",
    "largestep.devices.out_of_memory": REFUSES,
    "largestep.devices.memory_is_full": REFUSES,
    "largestep.devices.describe": TELLS,
    "largestep.store.replacing": FILES,
    "largestep.store.set_aside": FILES,
    "largestep.store._understanding": REFUSES,
    "largestep.store._check_documented": REFUSES,
    "largestep.store._check_content": REFUSES,
    "largestep.store._check_origin": REFUSES,
    "largestep.store.check_versions": REFUSES,
    "largestep.store.Clock": TELLS,
    "largestep.store._run_attributes": TELLS,
    "largestep.data.image_set.fault": REFUSES,
    "largestep.data.image_set.one_line": TELLS,
}
