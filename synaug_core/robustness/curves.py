"""What was measured of one trained classifier: its accuracy over the strength of each disturbance and attack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from synaug_core.frozen import Frozen

__all__ = ["Curve", "Kind", "Point", "Robustness", "strength_name"]

Kind = Literal["perturbation", "attack"]
Share = Annotated[float, Field(ge=0, le=1)]


class Point(Frozen):
    """At one strength."""

    strength: Annotated[float, Field(ge=0)]
    """The severity of a perturbation, or the largest change of a pixel in 255ths; 0: undisturbed."""
    accuracy: Share
    balanced_accuracy: Share
    """Mean over the classes that have images of the share found."""


class Curve(Frozen):
    """Of one perturbation or attack."""

    name: str
    kind: Kind
    points: tuple[Point, ...]
    """By rising strength; the first is strength 0."""

    @property
    def mean(self) -> float:
        """Mean balanced accuracy over the strengths above 0."""
        return sum(p.balanced_accuracy for p in self.points[1:]) / (len(self.points) - 1)


class Robustness(Frozen):
    """Of one trained classifier."""

    clean: Point
    """The same images undisturbed: where every curve starts."""
    curves: tuple[Curve, ...]
    images: int
    classes: dict[str, int]
    """Images of each class; accuracy is theirs, so it leans less to common classes than on the whole test set."""

    def summary(self) -> dict[str, float]:
        """`clean`, `perturbed` and one figure for each attack by its name, all mean balanced accuracies.

        `perturbed` is the mean over all perturbations and their five severities, that of an attack the mean over
        all eps: the height of the curves, undisturbed images left out.
        """
        return summarise(self.clean.balanced_accuracy, {c.name: (c.kind, c.mean) for c in self.curves})

    def metrics(self, prefix: str = "robust") -> dict[str, float]:
        """Every point by name, `<prefix>/noise/severity_3/balanced_accuracy` or `<prefix>/pgd/eps_2/accuracy`,
        and the summary, `<prefix>/perturbed`, `<prefix>/pgd`."""
        found = {f"{prefix}/{name}": value for name, value in self.summary().items()}
        for curve in self.curves:
            for point in curve.points[1:]:
                where = f"{prefix}/{curve.name}/{strength_name(curve.kind, point.strength)}"
                found[f"{where}/accuracy"] = point.accuracy
                found[f"{where}/balanced_accuracy"] = point.balanced_accuracy
        return found


def strength_name(kind: Kind, strength: float) -> str:
    """`severity_3` or `eps_0.5`."""
    return f"{'severity' if kind == 'perturbation' else 'eps'}_{strength:g}"


def summarise(clean: float, means: Mapping[str, tuple[Kind, float]]) -> dict[str, float]:
    """`clean`, `perturbed` (mean over the perturbations) and each attack's own mean."""
    disturbed = [value for kind, value in means.values() if kind == "perturbation"]
    found = {"clean": clean}
    if disturbed:
        found["perturbed"] = sum(disturbed) / len(disturbed)
    return found | {name: value for name, (kind, value) in means.items() if kind == "attack"}
