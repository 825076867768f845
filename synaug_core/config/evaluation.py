"""How arms are judged: figures and their intervals, the test that decides, operating points, promotion."""

from typing import Annotated

from pydantic import Field

from synaug_core.config.base import Count, Section
from synaug_core.metrics import Endpoint

__all__ = ["BEST", "EvaluationConfig", "PrimaryConfig", "PromotionConfig"]

BEST = "best"
"""As an arm's name: the one that does best on the validation images."""


class PrimaryConfig(Section):
    """The one test that decides, declared before anything is trained. It is always against every control."""

    arm: str = BEST
    """An arm that is no control, or `best`: the one of these that does best on the validation images."""
    metric: Endpoint = "balanced_accuracy"
    """`rarest_recall`, `rarest_auc`, `rarest_average_precision` and `rarest_recall_at_specificity` are about the class
    with the fewest training images against the rest; `robust_balanced_accuracy` needs the robustness probe in every
    repetition."""


class EvaluationConfig(Section):
    """How sure the figures are made."""

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Level of every interval."""
    resamples: Count = 2000
    """Bootstrap resamples, crossed over repetitions and test images."""
    primary: PrimaryConfig = PrimaryConfig()
    precision: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Precision that the rarest class's threshold is set for, on the validation images; its recall is then told."""
    specificity: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Share of the other classes' validation images that may not be taken for the rarest class: what its threshold is
    set for in `rarest_recall_at_specificity`, in each repetition."""


class PromotionConfig(Section):
    """When a challenger becomes champion: no worse overall beyond the tolerance, and better on the rarest
    classes beyond the interval of the difference, both on the same test images."""

    enabled: bool = True
    """Whether the best model is registered and put before the gate at all."""
    tolerance: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Largest loss of balanced accuracy that still counts as no worse."""
    rarest: Count = 1
    """Number of rarest training classes whose mean recall has to rise."""
