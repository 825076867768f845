"""When the images that a served model is given count as different from those it was judged on."""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from synaug_core.config.base import Section

__all__ = ["FeatureKind", "Features", "WatchConfig"]

FeatureKind = Literal["frozen", "classifier", "thumbnails"]
Features = FeatureKind | Literal["auto"]
_TESTS = 2


class WatchConfig(Section):
    """The watch over a served model's inputs. It changes nothing that a retraining makes."""

    level: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    """Chance that any of `looks` looks calls drift where there is none; the two tests of a look share its part."""
    looks: Annotated[int, Field(ge=1, le=1000)] = 30
    """Looks that share `level` equally, such as the daily ones of a month: each look again at the same reference may
    err anew."""
    window: Annotated[int, Field(ge=20, le=5000)] = 500
    """Most recent images that are looked at; equal ones count once."""
    minimum: Annotated[int, Field(ge=10)] = 50
    """With fewer recent images nothing is said."""
    days: Annotated[float, Field(gt=0)] | None = None
    """Only images of the last so many days; default: however old."""
    reference: Literal["held_out", "train"] = "held_out"
    """What they are compared with: the validation and test images, or the training images. A classifier's features of
    images it was trained on differ from those of new ones, so `train` finds drift where there is none; it serves with
    features that have learnt from none of these images, frozen ones or thumbnails."""
    features: Features = "auto"
    """By what images are compared. `frozen`: the features of a pretrained backbone whose weights stay as they are,
    which see what the classifier has learnt to overlook; `classifier`: its own features before its head; `thumbnails`:
    8 x 8 pixels. Frozen features and thumbnails need logged images. auto: frozen where at least `minimum` recent images
    were logged and the weights can be had, else the classifier's."""
    permutations: Annotated[int, Field(ge=99, le=100_000)] = 999
    """Least number of random relabellings behind each p-value; there are more where a look's part of the level asks for
    smaller p-values."""
    unusual: Annotated[int, Field(ge=0, le=200)] = 40
    """Most unusual recent images on the sheet; they can be shown where images were logged."""
    deployment: Annotated[str, Field(pattern=r"^[^/\s]+/[^/]+$")] | None = None
    """A Prefect deployment, FLOW/NAME, that is started once for a model version when there is drift."""

    @model_validator(mode="after")
    def _drift_can_be_found(self) -> "WatchConfig":
        if self.minimum > self.window:
            raise ValueError("minimum: larger than the window, so drift could never be reported")
        return self

    @property
    def level_of_a_look(self) -> float:
        """A look's part of the level."""
        return self.level / self.looks

    @property
    def relabellings(self) -> int:
        """Random relabellings behind each p-value: as many as make one twice as small as a look's part of the level,
        shared by two tests, asks for."""
        return max(self.permutations, math.ceil(2 * _TESTS / self.level_of_a_look) - 1)
