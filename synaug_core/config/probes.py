"""What trained classifiers are asked beyond the test images: disturbed images, attacks, where they look."""

from typing import Annotated, Literal

from pydantic import Field

from synaug_core.config.base import Count, Section

__all__ = ["ExplanationConfig", "RobustnessConfig"]

Attack = Literal["fgsm", "pgd", "lowering"]
Perturbation = Literal["flip", "rotation", "brightness", "contrast", "noise", "blur", "crop"]


class RobustnessConfig(Section):
    """Disturbed and adversarial test images."""

    enabled: bool = True
    perturbations: tuple[Perturbation, ...] = ("flip", "rotation", "brightness", "contrast", "noise", "blur", "crop")
    """Each in five severities."""
    attacks: tuple[Attack, ...] = ("fgsm", "pgd")
    """`lowering` lowers the probability of the true class step by step (Niemeijer et al., arXiv 2406.17473)."""
    eps: tuple[Annotated[float, Field(gt=0, le=255)], ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    """Largest change of a pixel, in 255ths."""
    steps: Count = 10
    """Steps of an attack that takes several, each a quarter of eps; FGSM takes one of eps."""
    images: Count = 100
    """Most test images that are disturbed and attacked, drawn class by class."""
    repetitions: Count = 2
    """Trainings of each arm that are asked, the first ones."""


class ExplanationConfig(Section):
    """Where classifiers look (EigenGradCAM)."""

    enabled: bool = True
    images: Count = 8
    """Test images shown: those that the arms disagree on most, some of each class."""
