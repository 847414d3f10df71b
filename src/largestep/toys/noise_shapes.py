"""What stands for the noise of SGD in full-batch steps (`largestep.studies.noise_shape`): all have its trace.

`ISOTROPIC`: the same noise in all parameters; `LABELS`: noise on the labels; `PENALTY`: no noise, but the norm of each
example's gradient in the loss.
"""

from __future__ import annotations

ISOTROPIC, LABELS, PENALTY = 0, 1, 2
