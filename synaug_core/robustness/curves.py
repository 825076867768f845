"""What was measured of one trained classifier: its accuracy over the strength of each disturbance and attack."""

from __future__ import annotations

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
        found = {"clean": self.clean.balanced_accuracy}
        disturbed = [curve.mean for curve in self.curves if curve.kind == "perturbation"]
        if disturbed:
            found["perturbed"] = sum(disturbed) / len(disturbed)
        return found | {curve.name: curve.mean for curve in self.curves if curve.kind == "attack"}

    def metrics(self) -> dict[str, float]:
        """Every point by name, `robust/noise/severity_3/balanced_accuracy` or `robust/pgd/eps_2/accuracy`, and the
        summary, `robust/perturbed`, `robust/pgd`."""
        found = {f"robust/{name}": value for name, value in self.summary().items()}
        for curve in self.curves:
            for point in curve.points[1:]:
                where = f"robust/{curve.name}/{strength_name(curve.kind, point.strength)}"
                found[f"{where}/accuracy"] = point.accuracy
                found[f"{where}/balanced_accuracy"] = point.balanced_accuracy
        return found


def strength_name(kind: Kind, strength: float) -> str:
    """`severity_3` or `eps_0.5`."""
    return f"{'severity' if kind == 'perturbation' else 'eps'}_{strength:g}"
