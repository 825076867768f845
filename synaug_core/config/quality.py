"""How synthetic images are judged."""

from typing import Annotated

from pydantic import Field

from synaug_core.config.base import Count, Section

__all__ = ["JudgeConfig", "QualityConfig"]


class JudgeConfig(Section):
    """Classifiers that have not seen an image's parents: each leaves out one or two folds of the training images."""

    folds: Annotated[int, Field(ge=3, le=10)] = 3
    """Parts of the training images, whole groups; an image is judged by those trained without its parents' parts."""
    steps: Count | None = None
    """Optimiser steps of one judge; default: half of the classifier's."""


class QualityConfig(Section):
    """The judge of an image set: distances, variety, copying, usefulness. It never changes what is trained."""

    enabled: bool = True
    neighbours: Count = 5
    """k of density and coverage; clamped to one below the number of images."""
    null_draws: Count = 50
    """Random halves of the reals from which the distance of real images to real images is known."""
    usefulness: bool = True
    """Also train a classifier in which synthetic images take the real ones' place, and test it on real images."""
    most: Annotated[int, Field(ge=10)] = 500
    """Most images of a class that are looked at."""
