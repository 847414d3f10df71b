"""What code a stage depends on: a digest that changes with what the code computes, and with nothing else.

The digest of a stage covers every definition (function, class, constant) that its modules hold or use, directly or
through others, wherever in the package it stands; of each the syntax tree, less what cannot change a number.
"""

from largestep.fingerprint.definitions import closure, fingerprint, reached
from largestep.fingerprint.users import user_fingerprint

__all__ = ["closure", "fingerprint", "reached", "user_fingerprint"]
