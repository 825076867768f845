"""Probes of trained classifiers beyond the test images: disturbed images, attacks, maps of the evidence."""

from typing import Annotated, Literal

from pydantic import Field

from synaug_core.config.base import Count, Section

__all__ = ["ExplanationConfig", "ProbeConfig", "RobustnessConfig"]

Attack = Literal["fgsm", "pgd", "lowering"]
Perturbation = Literal["flip", "rotation", "brightness", "contrast", "noise", "blur", "crop"]


class ProbeConfig(Section):
    """What every probe can be told."""

    enabled: bool | Literal["auto"] = "auto"
    """auto: yes, apart from attacks on a pretrained network that was chosen for the images (`selection`) where there is
    no GPU: they would take longer than all else."""


class RobustnessConfig(ProbeConfig):
    """Disturbed and adversarial test images."""

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
    """Trainings of each arm that are probed, the first ones."""


class ExplanationConfig(ProbeConfig):
    """Where classifiers find evidence in an image (EigenGradCAM)."""

    images: Count = 8
    """Test images shown: those that the arms disagree on most, some of each class."""
