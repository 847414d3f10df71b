#!/usr/bin/env bash
# torchmetrics drops NaN: a mean of losses of which most are NaN is that of the rest, with a warning, and the accuracy of
# logits that are all NaN is the share of class 0, which argmax names, without one.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), torchmetrics 1.9.0, torch 2.14.1, numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import sys

import torch
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

mean, accuracy = MeanMetric(), MulticlassAccuracy(num_classes=3, average="micro")
for loss in (2.3, float("nan"), float("nan")):
    mean.update(torch.tensor(loss))
accuracy.update(torch.full((4, 3), float("nan")), torch.tensor([0, 0, 0, 1]))
found = mean.compute().item(), accuracy.compute().item()
print("expected:", "NaN for both of a run that diverged")
print("seen:    ", f"mean loss {found[0]:.2f}, accuracy {found[1]}")
if not (found[1] == 0.75 and abs(found[0] - 2.3) < 1e-6):
    sys.exit(1)
END
