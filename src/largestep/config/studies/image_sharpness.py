"""C18: settings of the curvature of image classifiers along SGD."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from largestep import stages
from largestep.config.studies.batch_sharpness import AlongSgd


class ImageSharpness(AlongSgd):
    """C18: sharpness and batch sharpness of image classifiers, in training mode and at the batch they train with."""

    kind: Literal["image_sharpness"] = Field(description="sharpness and batch sharpness of image classifiers along SGD")

    def models(self) -> frozenset[str]:
        """The image classifiers of the package."""
        return frozenset(stages.NETWORKS)

    def steps(self, name: str, experiment: Any) -> int:
        """Length of training; a data set whose size is not known is refused."""
        examples, training = experiment.examples(), experiment.training
        if examples is None:
            raise ValueError(f"networks.{name}: the size of its data set is not known; set data.examples there")
        return int(training.epochs * (examples // training.batch_size))
