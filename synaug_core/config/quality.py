"""How synthetic images are judged."""

from typing import Annotated, Literal

from pydantic import Field

from synaug_core.config.base import Count, Section

__all__ = ["JudgeConfig", "QualityConfig"]


class JudgeConfig(Section):
    """Classifiers that have not seen an image's parents: each leaves out one or two folds of the training images."""

    training: Literal["frozen", "classifier"] = "frozen"
    """`frozen`: each judge is a linear head on the features of a pretrained backbone whose weights stay as they are,
    the classifier's own where that is frozen, else tf_efficientnet_lite0, whose weights come with synaug; `classifier`:
    each is trained as the run's classifier is, from the few images. Without pretrained weights it is the latter, and a
    note says so."""
    folds: Annotated[int, Field(ge=3, le=10)] | None = None
    """Parts of the training images, whole groups; an image is judged by those trained without its parents' parts.
    Default: 5 frozen, else 3; of K there are K + K (K - 1) / 2 judges."""
    steps: Count | None = None
    """Optimiser steps of one judge with `training: classifier`; default: half of the classifier's."""

    @property
    def fold_count(self) -> int:
        """`folds`, or its default."""
        return self.folds or (5 if self.training == "frozen" else 3)

    def without_features(self) -> "JudgeConfig":
        """What is left where no frozen backbone can be had."""
        return self.model_copy(update={"training": "classifier"})


class QualityConfig(Section):
    """The judge of an image set: distances, variety, copying, usefulness. It never changes what is trained."""

    enabled: bool = True
    """Whether synthetic images are judged at all."""
    features: Literal["frozen", "classifier"] = "frozen"
    """In which features of images KID, density, coverage and the Vendi score are measured: those of a pretrained
    backbone (that of `judge.training: frozen`), standardised by the real training images; or those of a classifier
    trained on real images as the run's is. Without pretrained weights it is the latter."""
    neighbours: Count = 5
    """k of density and coverage; clamped to one below the number of images."""
    null_draws: Count = 50
    """Random halves of the reals from which the distance of real images to real images is known."""
    usefulness: bool = True
    """Also train a classifier in which synthetic images take the real ones' place, and test it on real images."""
    most: Annotated[int, Field(ge=10)] = 500
    """Most images of a class that are looked at."""

    def without_features(self) -> "QualityConfig":
        """What is left where no frozen backbone can be had."""
        return self.model_copy(update={"features": "classifier"})
