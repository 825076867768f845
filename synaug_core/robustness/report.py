"""The trainings of an arm together: mean curves, and what they say in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from synaug_core.frozen import Frozen
from synaug_core.robustness.curves import Kind, Robustness

__all__ = ["ArmRobustness", "Band", "MeanCurve", "MeanPoint", "attack_name", "mean_curves", "sentences", "summary_name"]


class Band(Frozen):
    """Mean, lowest and highest value over an arm's trainings; not a confidence interval."""

    mean: float
    low: float
    high: float


class MeanPoint(Frozen):
    """At one strength."""

    strength: float
    accuracy: Band
    balanced_accuracy: Band


class MeanCurve(Frozen):
    """Of one perturbation or attack; the first point is strength 0, undisturbed."""

    name: str
    kind: Kind
    points: tuple[MeanPoint, ...]


class ArmRobustness(Frozen):
    """Of one arm."""

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
        ValueError: none, or trainings that were asked about other images, disturbances or strengths.
    """
    if not trainings:
        raise ValueError("trainings: none")
    first = trainings[0]
    if any(_asked(one) != _asked(first) for one in trainings):
        raise ValueError("trainings: they were asked about different images, disturbances or strengths")
    curves = []
    for same in zip(*(one.curves for one in trainings), strict=True):
        points = tuple(
            MeanPoint(
                strength=at[0].strength,
                accuracy=_band([p.accuracy for p in at]),
                balanced_accuracy=_band([p.balanced_accuracy for p in at]),
            )
            for at in zip(*(curve.points for curve in same), strict=True)
        )
        curves.append(MeanCurve(name=same[0].name, kind=same[0].kind, points=points))
    summaries = [one.summary() for one in trainings]
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
    known = {"clean": "balanced accuracy, undisturbed", "perturbed": "mean balanced accuracy on disturbed images"}
    return known.get(name, f"mean balanced accuracy under attack ({attack_name(name)})")


def sentences(arms: Mapping[str, ArmRobustness], control: str | None = None) -> list[str]:
    """For each figure of the summary but `clean`, which arm is highest, beside the control; then what it is not.

    Args:
        arms: by name, asked about the same images.
        control: the best control, where there is one.
    """
    if not arms:
        return []
    first = next(iter(arms.values()))
    found = []
    for name in first.summary:
        if name == "clean":
            continue
        means = {arm: result.summary[name].mean for arm, result in arms.items() if name in result.summary}
        best = max(means, key=means.__getitem__)
        beside = f", {control} has {_percent(means[control])} %" if control in means and control != best else ""
        what = summary_name(name)
        found.append(
            f"{what[0].upper()}{what[1:]}{_strengths(first, name)} is highest with {best}: "
            f"{_percent(means[best])} %{beside}."
        )
    trainings = min(result.trainings for result in arms.values())
    found.append(
        f"These are means over {_count(trainings, 'training')} of each arm on {_count(first.images, 'test image')}, "
        "the same for every arm. They describe; no test was made of the differences."
    )
    return found


def _asked(one: Robustness) -> tuple[object, ...]:
    strengths = [(c.name, c.kind, tuple(p.strength for p in c.points)) for c in one.curves]
    return one.images, one.classes, strengths


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
