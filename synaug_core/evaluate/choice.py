"""Which arm's model is worth registering, and what a person should know before relying on the figures."""

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.sentence import percent_text, points
from synaug_core.frozen import Frozen

__all__ = ["Choice", "choose_arm", "remarks"]

_SURE = 0.99
"""Confidence at which validation images count as easier than test images."""


class Choice(Frozen):
    """An arm, and why it rather than another."""

    arm: str
    reason: str


def choose_arm(
    validation: Mapping[str, Sequence[Predictions]], order: Sequence[str], gain: str | None = None
) -> Choice:
    """The simplest arm whose balanced accuracy on the validation images is within one standard error of the highest
    (the one-standard-error rule of Breiman et al., Classification and Regression Trees, 1984, section 3.4.3); or the
    arm that was shown to gain.

    The standard error is that of the paired difference of the two arms, over trainings and validation images.

    Args:
        validation: arm -> predictions of its trainings on their validation images, the n-th of each arm for the same
            images. Those of several trainings may differ.
        order: arms that may be chosen, the simplest first.
        gain: the judged arm, where the comparison shows a gain.

    Raises:
        ValueError: no arm to choose from.
    """
    if gain is not None:
        return Choice(arm=gain, reason="it is shown to gain over every control")
    if not order:
        raise ValueError("there is no arm to choose from")
    means = {arm: float(np.mean([_balanced_accuracy(p) for p in validation[arm]])) for arm in order}
    best = max(order, key=lambda arm: means[arm])  # of equals the simplest
    for arm in order:
        gap, error = means[best] - means[arm], _standard_error(validation[best], validation[arm])
        if arm == best:
            return Choice(arm=arm, reason="it has the highest balanced accuracy on the validation images")
        if gap <= error:
            return Choice(
                arm=arm,
                reason=f"it is the simplest arm within one standard error of the best on the validation images, {best} "
                f"({_percent(means[arm])} against {_percent(means[best])}, standard error of the difference "
                f"{100 * error:.1f} points)",
            )
    raise AssertionError("the best arm is one of them")


def remarks(
    test: Mapping[str, Sequence[Predictions]],
    validation: Mapping[str, Sequence[Predictions]],
    *,
    shared_test_part: bool = True,
) -> tuple[str, ...]:
    """What is odd about the trainings, a line each: arms that predict one class only, and validation images that are
    easier than the test images.

    Args:
        test: arm -> predictions of its trainings on their test images.
        validation: the same on their validation images.
        shared_test_part: whether all trainings have the same test images; in a cross-validation each image validates
            and tests, so that the two are not compared.
    """
    lines = [line for arm, trainings in test.items() if (line := _one_class(arm, trainings))]
    if shared_test_part and (line := _easier_validation(test, validation)):
        lines.append(line)
    return tuple(lines)


def _one_class(arm: str, trainings: Sequence[Predictions]) -> str:
    """The line about trainings that put all images, of several classes, into one; empty without any."""
    names: list[str] = []
    for p in trainings:
        predicted = np.unique(p.predicted)
        if len(predicted) == 1 and len(np.unique(p.labels)) > 1:
            names.append(p.classes[int(predicted[0])])
    if not names:
        return ""
    share = f"in {len(names)} of {len(trainings)} trainings " if len(trainings) > 1 else ""
    return f"{arm} predicts one class only, {' or '.join(dict.fromkeys(names))}, {share}for every test image"


def _easier_validation(
    test: Mapping[str, Sequence[Predictions]], validation: Mapping[str, Sequence[Predictions]]
) -> str:
    """The line about validation images that are easier, if they are.

    An image's figure is the share of all trainings of all arms that classify it correctly. The interval of the
    difference of the classes' mean figures takes each figure for a trial and adds a right and a wrong one to each class
    and side (Agresti and Caffo, The American Statistician 54, 2000), so that it is rather too wide.
    """
    sides = [_rights(trainings) for trainings in (validation, test)]
    classes = sorted(set(sides[0]) & set(sides[1]))
    if len(classes) < 2:
        return ""
    means, difference, variance = [0.0, 0.0], 0.0, 0.0
    for name in classes:
        for side, sign in ((0, 1), (1, -1)):
            values = sides[side][name]
            padded = (values.sum() + 1) / (len(values) + 2)
            means[side] += float(values.mean()) / len(classes)
            difference += sign * padded / len(classes)
            variance += padded * (1 - padded) / (len(values) + 2) / len(classes) ** 2
    half = NormalDist().inv_cdf(0.5 + _SURE / 2) * sqrt(variance)
    if difference - half <= 0:
        return ""
    return (
        f"the validation images are easier than the test images: balanced accuracy {_percent(means[0])} against "
        f"{_percent(means[1])}, the mean of all trainings (difference {points(means[0] - means[1])} points, beyond "
        f"chance at {percent_text(_SURE)}); what is chosen on them may not be best on the test images"
    )


def _rights(arms: Mapping[str, Sequence[Predictions]]) -> dict[str, NDArray[np.float64]]:
    """Class -> for each of its images the share of trainings that classify it correctly."""
    rights: dict[str, dict[str, list[bool]]] = {}
    for trainings in arms.values():
        for p in trainings:
            is_right = (p.predicted == p.labels).tolist()
            for image, label, right in zip(p.ids, p.labels.tolist(), is_right, strict=True):
                rights.setdefault(p.classes[label], {}).setdefault(image, []).append(right)
    return {name: np.array([np.mean(r) for r in images.values()]) for name, images in rights.items()}


def _standard_error(best: Sequence[Predictions], arm: Sequence[Predictions]) -> float:
    """Of the mean difference in balanced accuracy of paired trainings.

    Over trainings: their spread. Where all have the same validation images these are one sample too, whose part is the
    stratified variance of the images' mean differences; where each has its own, the spread holds that part already.
    """
    pairs = list(zip(best, arm, strict=True))
    differences = np.array([_balanced_accuracy(a) - _balanced_accuracy(b) for a, b in pairs])
    variance = float(differences.var(ddof=1)) / len(pairs) if len(pairs) > 1 else 0.0
    first = pairs[0][0]
    if all(a.ids == first.ids for a, _ in pairs):
        wins = np.mean([_wins(a, b) for a, b in pairs], axis=0)
        parts = [wins[first.labels == label] for label in np.unique(first.labels)]
        variance += sum(float(part.var(ddof=1)) / len(part) for part in parts if len(part) > 1) / len(parts) ** 2
    return sqrt(variance)


def _wins(a: Predictions, b: Predictions) -> NDArray[np.float64]:
    """For each image 1 where only the first is right, -1 where only the second is, else 0."""
    b = b.in_order(a.ids)
    wins: NDArray[np.float64] = np.subtract(a.predicted == a.labels, b.predicted == b.labels, dtype=np.float64)
    return wins


def _balanced_accuracy(p: Predictions) -> float:
    is_right = p.predicted == p.labels
    return float(np.mean([is_right[p.labels == label].mean() for label in np.unique(p.labels)]))


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
