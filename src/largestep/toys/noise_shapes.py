"""What stands for the noise of SGD in full-batch steps (`largestep.studies.noise_shape`).

With noise of its trace: `ISOTROPIC`, the same in all parameters, and `LABELS`, on the labels. Without noise: `PENALTY`,
the norm of each example's gradient in the loss.
"""

from __future__ import annotations

ISOTROPIC, LABELS, PENALTY = 0, 1, 2
