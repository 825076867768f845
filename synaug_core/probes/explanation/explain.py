"""The arms' maps side by side: which test images are shown, which are measured, and how far the maps are apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from synaug_core.classify.trained import TrainedClassifier
from synaug_core.data import imageset, thinning
from synaug_core.evaluate.predictions import Predictions
from synaug_core.probes.explanation import eigengradcam, report
from synaug_core.progress import Progress, silent
from synaug_core.seeds import derive

__all__ = ["MEASURED", "TOP", "Chosen", "Explained", "change_of_each", "choose", "explain", "mean_change", "sample"]

MEASURED = 128
"""Most test images whose maps are compared, drawn class by class."""
TOP = 0.2
"""Share of a map's pixels that counts as where the classifier looks."""

Load = Callable[[], TrainedClassifier]


@dataclass(frozen=True, eq=False)
class Explained:
    """An explanation and what is needed to draw it.

    Attributes:
        explanation: figures and names.
        shown: the images of `explanation.images`, in that order.
        maps: by arm, float32 (images shown, size, size) in [0, 1].
    """

    explanation: report.Explanation
    shown: imageset.ImageSet = field(repr=False)
    maps: dict[str, NDArray[np.float32]] = field(repr=False)


def explain(
    classifiers: Mapping[str, Load],
    predictions: Mapping[str, Sequence[Predictions]],
    test: imageset.ImageSet,
    *,
    reference: str,
    best: str | None = None,
    again: Load | None = None,
    images: int = 8,
    measured: int = MEASURED,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: Progress = silent,
) -> Explained:
    """EigenGradCAM maps for the true class, the same class for every arm, of the arms' first trainings.

    What the arms change is measured on a sample that is drawn without regard to their predictions: the images that are
    shown were chosen because the arms disagree on them, and would exaggerate. It is held against what changes between
    two trainings of the reference, which differ in their initial weights too, while the arms share theirs: a floor
    that is rather too high than too low.

    Args:
        classifiers: by arm, loads its first repetition's classifier; one is in memory at a time.
        predictions: by arm, of its repetitions on the test images, the first one first.
        test: the test images.
        reference: the arm that the others are compared with, the best control.
        best: the best synthetic arm.
        again: loads another repetition of the reference; None where there is none.
        images: how many to show.
        measured: how many to compare maps on, at most.
        seed: of the sample.
        device: where to compute.
        progress: called after every arm.

    Raises:
        ValueError: predictions of images that are not in `test`.
        NoMapsError: a network without maps.
    """
    choices = choose(predictions, reference=reference, best=best, images=images)
    place = {name: i for i, name in enumerate(test.ids)}
    if missing := next((c.id for c in choices if c.id not in place), None):
        raise ValueError(f"image {missing} was predicted and is not among the test images")
    shown = [place[c.id] for c in choices]
    sample_rows = sample(test.labels.numpy(), measured, seed).tolist()
    rows = list(dict.fromkeys(shown + sample_rows))
    pixels, targets = test.images[rows], test.labels[rows]
    row = {position: i for i, position in enumerate(rows)}
    shown_rows, drawn_rows = [row[i] for i in shown], [row[i] for i in sample_rows]
    steps = len(classifiers) + (again is not None)
    layers: list[str] = []

    def maps_of(load: Load) -> NDArray[np.float32]:
        classifier = load()
        model = classifier.model if device is None else classifier.model.to(device)
        layer = eigengradcam.find_layer(model.networks[0], channels=classifier.channels, size=classifier.size)
        maps = eigengradcam.eigen_grad_cam(classifier, pixels, targets, layer=layer, device=device)
        layers.append(str(layer))
        progress(len(layers), steps)
        return maps

    of_reference = maps_of(classifiers[reference])
    second = maps_of(again) if again is not None else None
    noise = mean_change(change_of_each(of_reference[drawn_rows], second[drawn_rows])) if second is not None else None
    shown_maps, change_by_image, change = {reference: of_reference[shown_rows]}, {}, {}
    for arm in (a for a in classifiers if a != reference):
        maps = maps_of(classifiers[arm])
        shown_maps[arm] = maps[shown_rows]
        change_by_image[arm] = change_of_each(of_reference[shown_rows], shown_maps[arm])
        mean = mean_change(change_of_each(of_reference[drawn_rows], maps[drawn_rows]))
        if mean is not None:
            change[arm] = mean
    explanation = report.Explanation(
        layer=", ".join(dict.fromkeys(layers)),
        reference=reference,
        best=best,
        images=_images(choices, {a: predictions[a][0] for a in classifiers}, change_by_image),
        change=change,
        noise=noise,
    )
    return Explained(explanation, test.take(shown), {arm: shown_maps[arm] for arm in classifiers})


def _images(
    choices: Sequence[Chosen],
    first: Mapping[str, Predictions],
    change_by_image: Mapping[str, list[report.MapChange | None]],
) -> tuple[report.ExplainedImage, ...]:
    ids = tuple(c.id for c in choices)
    arm_predictions = {arm: p.in_order(ids) for arm, p in first.items()}
    explained = []
    for i, image in enumerate(choices):
        views = {}
        for arm, p in arm_predictions.items():
            views[arm] = report.ArmView(
                predicted=p.classes[p.predicted[i]],
                probability=float(p.probabilities[i, p.labels[i]]),
                change=change_by_image[arm][i] if arm in change_by_image else None,
            )
        some = next(iter(arm_predictions.values()))
        explained.append(
            report.ExplainedImage(id=image.id, label=some.classes[some.labels[i]], why=image.why, arms=views)
        )
    return tuple(explained)


@dataclass(frozen=True)
class Chosen:
    """A test image to show.

    Attributes:
        id: name of the image.
        difference: of the mean probability of its true class, best synthetic arm less reference; without such an
            arm, the highest arm's less the lowest arm's.
        why: in a few words.
    """

    id: str
    difference: float
    why: str


def choose(
    predictions: Mapping[str, Sequence[Predictions]], *, reference: str, best: str | None, images: int
) -> tuple[Chosen, ...]:
    """The images whose true class gains or loses most probability, at least one of each class as far as they go.

    The rarest class (of the test images) comes first where `images` is less than the number of classes. Repetitions
    are averaged; those of an arm that did not see all images of the reference's first one are left out.

    Args:
        predictions: of each arm, its repetitions; the first ones hold the same images.
        reference: name of the best control.
        best: name of the best synthetic arm; None where there is none: then all arms are looked at.
        images: how many to choose.

    Returns:
        At most `images`, the largest difference first; ties by the order of the images.

    Raises:
        ValueError: an arm without predictions of the reference's images.
    """
    first = predictions[reference][0]
    mean = {arm: _of_truth(arm, repetitions, first) for arm, repetitions in predictions.items()}
    if best is not None and best != reference:
        difference = mean[best] - mean[reference]
    else:
        mean_probabilities = np.stack(list(mean.values()))
        difference = mean_probabilities.max(0) - mean_probabilities.min(0)
    order = np.argsort(-np.abs(difference), kind="stable").tolist()
    counts = np.bincount(first.labels, minlength=len(first.classes))
    rarest = sorted((int(c) for c in counts.nonzero()[0]), key=lambda c: (counts[c], c))
    heads = [next(i for i in order if first.labels[i] == c) for c in rarest][:images]
    remaining = [i for i in order if i not in heads]
    picked = {*heads, *remaining[: images - len(heads)]}
    top = set(order[:images])
    averaged = any(len(repetitions) > 1 for repetitions in predictions.values())
    return tuple(
        Chosen(
            id=first.ids[i],
            difference=float(difference[i]),
            why=_why(float(difference[i]), best if best != reference else None, i in top, averaged),
        )
        for i in order
        if i in picked
    )


def sample(labels: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    """Positions of at most `n` images, drawn class by class in turn, so that rare classes count; ascending.

    A class that is used up leaves its turn to the others.
    """
    rng = np.random.default_rng(derive(seed, "sample"))
    counts: dict[int, int] = dict(enumerate(np.bincount(labels).tolist()))
    shares = thinning.equal_shares(counts, n, sorted(counts))
    taken = [rng.permutation(np.flatnonzero(labels == c))[: shares[c]] for c in counts if counts[c]]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *taken]))


def _of_truth(arm: str, repetitions: Sequence[Predictions], first: Predictions) -> NDArray[np.float64]:
    """Mean probability of the true class, float64 (n,), in the order of `first`."""
    ids = set(first.ids)
    complete = [p.in_order(first.ids) for p in repetitions if ids <= set(p.ids)]
    if not complete:
        raise ValueError(f"arm {arm} has no predictions of the images that the reference predicted")
    rows = np.arange(len(first))
    of_truth = [p.probabilities[rows, first.labels].astype(np.float64) for p in complete]
    return np.asarray(np.mean(of_truth, axis=0))


def _why(difference: float, best: str | None, is_top: bool, averaged: bool) -> str:
    mean = " on average" if averaged else ""
    if best is None:
        reason = f"p(true) of the arms differs by {difference:.2f}{mean}"
    else:
        sign = "+" if difference >= 0 else "\N{MINUS SIGN}"
        reason = f"p(true) {sign}{abs(difference):.2f}{mean} with {best}"
    return f"most changed: {reason}" if is_top else f"most changed of its class: {reason}"


def change_of_each(a: NDArray[np.float32], b: NDArray[np.float32]) -> list[report.MapChange | None]:
    """For each image, how far its two maps are apart; None where one of them is flat.

    The overlap is that of the pixels at least as bright as the brightest fifth, zeros left out.

    Args:
        a: float (n, h, w), not negative.
        b: the same shape.

    Raises:
        ValueError: shapes that differ.
    """
    if a.shape != b.shape or a.ndim != 3:
        raise ValueError(f"maps of the same images expected, got {a.shape} and {b.shape}")
    return [_change(x.astype(np.float64).ravel(), y.astype(np.float64).ravel()) for x, y in zip(a, b, strict=True)]


def mean_change(changes: list[report.MapChange | None]) -> report.MapChange | None:
    """Mean over the images where the change is defined; None where it is nowhere."""
    changes_defined = [c for c in changes if c is not None]
    if not changes_defined:
        return None
    return report.MapChange(
        correlation=math.fsum(c.correlation for c in changes_defined) / len(changes_defined),
        overlap=math.fsum(c.overlap for c in changes_defined) / len(changes_defined),
        n=len(changes_defined),
    )


def _change(x: NDArray[np.float64], y: NDArray[np.float64]) -> report.MapChange | None:
    x0, y0 = x - x.mean(), y - y.mean()
    norm = math.sqrt(float(x0 @ x0) * float(y0 @ y0))
    if norm == 0:
        return None
    bright_x, bright_y = _bright(x), _bright(y)
    common, either = int((bright_x & bright_y).sum()), int((bright_x | bright_y).sum())
    correlation = min(1.0, max(-1.0, float(x0 @ y0) / norm))
    return report.MapChange(correlation=1 - correlation, overlap=1 - common / either, n=1)


def _bright(x: NDArray[np.float64]) -> NDArray[np.bool_]:
    kth = math.ceil(TOP * len(x))
    threshold = np.partition(x, -kth)[-kth]
    return np.asarray((x >= threshold) & (x > 0))
