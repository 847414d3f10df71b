"""The step sizes of a cell of an image classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from largestep import decay_steps
from largestep.schedules import PHASE_OF_IMAGES, Schedule
from largestep.store import StoreError

if TYPE_CHECKING:
    from largestep.config.cells import StepSizes


def of_images(law: StepSizes, steps: int, cell: str) -> Schedule:
    """A cell's schedule over so many updates, which nobody could count before if config.yaml says no number of images.

    cell: its name after its experiment's. Raises StoreError for a schedule that cannot be taken in so few updates.
    """
    try:
        decay_steps.taken(law, steps, images=True)
    except ValueError as error:
        raise StoreError(f"config.yaml: {cell}: {error}") from error
    return Schedule(law, steps, phase=PHASE_OF_IMAGES)
