"""What the measures of an experiment count as zero, and on how much of an image network they look."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationInfo, model_validator

from largestep.config.named import filled
from largestep.config.scalars import Count, Distinct, Fraction, Name, Positive, Strict


class Thresholds(Strict):
    """What counts, as the stage sparsity reads it."""

    rank_thresholds: Annotated[list[Positive], Distinct] = Field(
        default_factory=list,
        description="singular values of the Jacobian count above this share of the largest one; needed by toy networks",
    )
    correlation_thresholds: Annotated[list[Fraction], Distinct] = Field(
        default_factory=list,
        description="units whose activations correlate above this count as one in the feature sparsity coefficient; "
        "needed by all networks but the diagonal one",
    )
    l0_thresholds: Annotated[list[Positive], Distinct] = Field(
        default_factory=list,
        description="coordinates of the predictor count as non-zero above this size; needed by the diagonal network",
    )


class Activations(Strict):
    """Which activations are measured and how, as the stage features reads it."""

    normalise_activations: bool = Field(
        default=False, description="divide each example's activations by their norm first, as the paper does for toys"
    )
    units_per_block: Count | None = Field(
        default=None, description="units drawn at random per block of an image network; null: all"
    )
    probe_images: Count | None = Field(
        default=None, description="training images on which an image network's units are looked at; null: all"
    )


class Measures(Activations, Thresholds):
    """Thresholds of the measures; the first of each list is the paper's and heads the tables."""


class OwnMeasures(Measures):
    """The measures of an experiment: those of a name, less what is written beside it, or all written out."""

    like: Name | None = Field(
        default=None, exclude=True, description="which of `measures` holds for what is not written here; null: defaults"
    )

    @model_validator(mode="before")
    @classmethod
    def a_name_stands_for_what_it_names(cls, value: Any, info: ValidationInfo) -> Any:
        """Put the thresholds of the name in their places."""
        return filled("measures", "like", value, info)
