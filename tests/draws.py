"""How often tests of verdicts draw made-up runs to count the wrong ones: 200 times in make test-reliability."""

from __future__ import annotations

import os

DRAWS = int(os.environ.get("LARGESTEP_DRAWS", "40"))
