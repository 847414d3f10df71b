"""The typed settings of the studies: what `config.yaml` may say under `studies`, one module per kind.

A study is a piece of evidence that is not a cell: an identity checked by enumeration, a grid of many
short runs, a comparison of algorithms. It runs as one job, `python -m largestep.studies`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from largestep.config.studies.bouncing import Bouncing
from largestep.config.studies.flows import Flows
from largestep.config.studies.label_noise import LabelNoise
from largestep.config.studies.loss_slice import LossSlice
from largestep.config.studies.phase_diagram import PhaseDiagram
from largestep.config.studies.sde_convergence import SdeConvergence
from largestep.config.studies.sharpness import Sharpness
from largestep.config.studies.sweep import Sweep

Study = Annotated[
    LabelNoise | Bouncing | PhaseDiagram | LossSlice | Sweep | Sharpness | Flows | SdeConvergence,
    Field(discriminator="kind"),
]
