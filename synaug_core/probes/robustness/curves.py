"""Accuracy over the strength of each disturbance and attack: of one trained classifier, and of an arm's together."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from synaug_core.frozen import Frozen
from synaug_core.probes.base import Band

__all__ = [
    "ArmRobustness",
    "Curve",
    "Kind",
    "MeanCurve",
    "MeanPoint",
    "Point",
    "Robustness",
    "attack_name",
    "mean_curves",
    "sentences",
    "strength_name",
    "summary_name",
]

Kind = Literal["perturbation", "attack"]
Share = Annotated[float, Field(ge=0, le=1)]


class Point(Frozen):
    """Accuracy at one strength."""

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
    """Robustness of one trained classifier."""

    clean: Point
    """The same images undisturbed: where every curve starts."""
    curves: tuple[Curve, ...]
    images: int
    classes: dict[str, int]
    """Images of each class; accuracy is theirs, so it leans less to common classes than on the whole test set."""
    labels: tuple[int, ...] = ()
    """Of each image, the index of its class; empty without attacks, and in measurements of 0.1.0."""
    withstood: tuple[Share, ...] = ()
    """Of each image, the share of the attacks' strengths at which the classifier is right under every attack."""

    def summary(self) -> dict[str, float]:
        """`clean`, `perturbed` and one figure for each attack by its name, all mean balanced accuracies.

        `perturbed` is the mean over all perturbations and their five severities, that of an attack the mean over
        all eps: the height of the curves, undisturbed images left out.
        """
        summary = {"clean": self.clean.balanced_accuracy}
        disturbed = [curve.mean for curve in self.curves if curve.kind == "perturbation"]
        if disturbed:
            summary["perturbed"] = sum(disturbed) / len(disturbed)
        return summary | {curve.name: curve.mean for curve in self.curves if curve.kind == "attack"}

    def metrics(self) -> dict[str, float]:
        """Every point by name, `robust/noise/severity_3/balanced_accuracy` or `robust/pgd/eps_2/accuracy`, and the
        summary, `robust/perturbed`, `robust/pgd`."""
        metrics = {f"robust/{name}": value for name, value in self.summary().items()}
        for curve in self.curves:
            for point in curve.points[1:]:
                prefix = f"robust/{curve.name}/{strength_name(curve.kind, point.strength)}"
                metrics[f"{prefix}/accuracy"] = point.accuracy
                metrics[f"{prefix}/balanced_accuracy"] = point.balanced_accuracy
        return metrics


def strength_name(kind: Kind, strength: float) -> str:
    """`severity_3` or `eps_0.5`."""
    return f"{'severity' if kind == 'perturbation' else 'eps'}_{strength:g}"


class MeanPoint(Frozen):
    """Accuracy at one strength."""

    strength: float
    accuracy: Band
    balanced_accuracy: Band


class MeanCurve(Frozen):
    """Means over trainings for one perturbation or attack; the first point is strength 0, undisturbed."""

    name: str
    kind: Kind
    points: tuple[MeanPoint, ...]


class ArmRobustness(Frozen):
    """Robustness of one arm."""

    curves: tuple[MeanCurve, ...]
    summary: dict[str, Band]
    """Names as in `Robustness.summary`: each training's mean balanced accuracy, over the trainings."""
    trainings: int
    images: int
    classes: dict[str, int]
    """Images of each class."""

    def metrics(self) -> dict[str, float]:
        """The summary's means: `robust/clean`, `robust/perturbed`, `robust/pgd`."""
        return {f"robust/{name}": band.mean for name, band in self.summary.items()}


def mean_curves(trainings: Sequence[Robustness]) -> ArmRobustness:
    """The trainings of one arm, point by point.

    Raises:
        ValueError: none, or trainings that were measured on other images, disturbances or strengths.
    """
    if not trainings:
        raise ValueError("trainings: none")
    first = trainings[0]
    if any(_describe_input(training) != _describe_input(first) for training in trainings):
        raise ValueError("trainings: they were measured on different images, disturbances or strengths")
    curves = []
    for same_curves in zip(*(training.curves for training in trainings), strict=True):
        mean_points = tuple(
            MeanPoint(
                strength=same_strength[0].strength,
                accuracy=_band([p.accuracy for p in same_strength]),
                balanced_accuracy=_band([p.balanced_accuracy for p in same_strength]),
            )
            for same_strength in zip(*(curve.points for curve in same_curves), strict=True)
        )
        curves.append(MeanCurve(name=same_curves[0].name, kind=same_curves[0].kind, points=mean_points))
    summaries = [training.summary() for training in trainings]
    return ArmRobustness(
        curves=tuple(curves),
        summary={name: _band([s[name] for s in summaries]) for name in summaries[0]},
        trainings=len(trainings),
        images=first.images,
        classes=first.classes,
    )


def attack_name(name: str) -> str:
    """What an attack is called in print."""
    return {"fgsm": "FGSM", "pgd": "PGD", "lowering": "lowering p(y|x)"}.get(name, name)


def summary_name(name: str) -> str:
    """What a figure of the summary is called in print."""
    titles = {"clean": "balanced accuracy, undisturbed", "perturbed": "mean balanced accuracy on disturbed images"}
    return titles.get(name, f"mean balanced accuracy under attack ({attack_name(name)})")


def sentences(arms: Mapping[str, ArmRobustness], control: str | None = None) -> list[str]:
    """For each figure of the summary but `clean`, which arm is highest, beside the control; then what they are not.

    Args:
        arms: by name, measured on the same images.
        control: the best control, where there is one.
    """
    if not arms:
        return []
    first = next(iter(arms.values()))
    lines = []
    for name in first.summary:
        if name == "clean":
            continue
        means = {arm: result.summary[name].mean for arm, result in arms.items() if name in result.summary}
        best_arm = max(means, key=means.__getitem__)
        control_text = (
            f", {control} has {_percent(means[control])} %" if control in means and control != best_arm else ""
        )
        title = summary_name(name)
        lines.append(
            f"{title[0].upper()}{title[1:]}{_strengths(first, name)} is highest with {best_arm}: "
            f"{_percent(means[best_arm])} %{control_text}."
        )
    trainings = min(result.trainings for result in arms.values())
    lines.append(
        f"These are means over {_count(trainings, 'training')} of each arm on {_count(first.images, 'test image')}, "
        "the same for every arm. They describe; no test was made of the differences."
    )
    return lines


def _describe_input(training: Robustness) -> tuple[object, ...]:
    strengths = [(c.name, c.kind, tuple(p.strength for p in c.points)) for c in training.curves]
    return training.images, training.classes, strengths


def _band(values: Sequence[float]) -> Band:
    return Band(mean=sum(values) / len(values), low=min(values), high=max(values))


def _strengths(arm: ArmRobustness, name: str) -> str:
    eps = [p.strength for c in arm.curves if c.name == name for p in c.points[1:]]
    if not eps:
        return ""
    span = f"{eps[0]:g}" if len(eps) == 1 else f"{eps[0]:g} to {eps[-1]:g}"
    return f", pixels changed by at most {span} of 255 grey levels,"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"
