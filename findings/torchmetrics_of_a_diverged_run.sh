#!/usr/bin/env bash
# torchmetrics drops NaN: a mean of losses of which most are NaN is that of the rest, with a warning, and the accuracy of
# logits that are all NaN is the share of class 0, which argmax names, without one.
. "$(dirname "$0")/lib.sh"
install torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6
look <<'END'
import torch
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy
from finding import report

mean, accuracy = MeanMetric(), MulticlassAccuracy(num_classes=3, average="micro")
for loss in (2.3, float("nan"), float("nan")):
    mean.update(torch.tensor(loss))
accuracy.update(torch.full((4, 3), float("nan")), torch.tensor([0, 0, 0, 1]))
found = mean.compute().item(), accuracy.compute().item()
report(
    "NaN for both of a run that diverged",
    f"mean loss {found[0]:.2f}, accuracy {found[1]}",
    found[1] == 0.75 and abs(found[0] - 2.3) < 1e-6,
)
END
