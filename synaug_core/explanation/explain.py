"""The arms' maps side by side: of chosen test images to look at, of a sample to measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from synaug_core.classify.trained import TrainedClassifier
from synaug_core.data.imageset import ImageSet
from synaug_core.evaluate.predictions import Predictions
from synaug_core.explanation.change import change_of_each, mean_change
from synaug_core.explanation.choose import Chosen, choose, sample
from synaug_core.explanation.eigengradcam import eigen_grad_cam
from synaug_core.explanation.layers import find_layer
from synaug_core.explanation.report import ArmView, ExplainedImage, Explanation, MapChange
from synaug_core.progress import Progress, silent

__all__ = ["MEASURED", "Explained", "explain"]

MEASURED = 128
"""Most test images whose maps are compared, drawn class by class."""

Load = Callable[[], TrainedClassifier]


@dataclass(frozen=True, eq=False)
class Explained:
    """An explanation and what is needed to draw it.

    Attributes:
        explanation: figures and names.
        shown: the images of `explanation.images`, in that order.
        maps: by arm, float32 (images shown, size, size) in [0, 1].
    """

    explanation: Explanation
    shown: ImageSet = field(repr=False)
    maps: dict[str, NDArray[np.float32]] = field(repr=False)


def explain(
    classifiers: Mapping[str, Load],
    predictions: Mapping[str, Sequence[Predictions]],
    test: ImageSet,
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

    What the arms change is measured on a sample that is drawn without looking at what they say: the images that are
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
        progress: told after every arm.

    Raises:
        ValueError: predictions of images that are not in `test`.
        NoMapsError: a network without maps.
    """
    chosen = choose(predictions, reference=reference, best=best, images=images)
    place = {name: i for i, name in enumerate(test.ids)}
    if missing := next((c.id for c in chosen if c.id not in place), None):
        raise ValueError(f"image {missing} was predicted and is not among the test images")
    shown = [place[c.id] for c in chosen]
    drawn = sample(test.labels.numpy(), measured, seed).tolist()
    looked = list(dict.fromkeys(shown + drawn))
    pixels, targets = test.images[looked], test.labels[looked]
    row = {position: i for i, position in enumerate(looked)}
    shown_rows, drawn_rows = [row[i] for i in shown], [row[i] for i in drawn]
    total = len(classifiers) + (again is not None)
    layers: list[str] = []

    def maps_of(load: Load) -> NDArray[np.float32]:
        classifier = load()
        model = classifier.model if device is None else classifier.model.to(device)
        layer = find_layer(model, channels=classifier.channels, size=classifier.size)
        found = eigen_grad_cam(classifier, pixels, targets, layer=layer, device=device)
        layers.append(str(layer))
        progress(len(layers), total)
        return found

    of_reference = maps_of(classifiers[reference])
    second = maps_of(again) if again is not None else None
    noise = mean_change(change_of_each(of_reference[drawn_rows], second[drawn_rows])) if second is not None else None
    kept, each, change = {reference: of_reference[shown_rows]}, {}, {}
    for arm in (a for a in classifiers if a != reference):
        maps = maps_of(classifiers[arm])
        kept[arm] = maps[shown_rows]
        each[arm] = change_of_each(of_reference[shown_rows], kept[arm])
        mean = mean_change(change_of_each(of_reference[drawn_rows], maps[drawn_rows]))
        if mean is not None:
            change[arm] = mean
    explanation = Explanation(
        layer=", ".join(dict.fromkeys(layers)),
        reference=reference,
        best=best,
        images=_images(chosen, {a: predictions[a][0] for a in classifiers}, each),
        change=change,
        noise=noise,
    )
    return Explained(explanation, test.take(shown), {arm: kept[arm] for arm in classifiers})


def _images(
    chosen: Sequence[Chosen], first: Mapping[str, Predictions], each: Mapping[str, list[MapChange | None]]
) -> tuple[ExplainedImage, ...]:
    ids = tuple(c.id for c in chosen)
    of_arm = {arm: p.in_order(ids) for arm, p in first.items()}
    found = []
    for i, one in enumerate(chosen):
        views = {}
        for arm, p in of_arm.items():
            views[arm] = ArmView(
                predicted=p.classes[p.predicted[i]],
                probability=float(p.probabilities[i, p.labels[i]]),
                change=each[arm][i] if arm in each else None,
            )
        some = next(iter(of_arm.values()))
        found.append(ExplainedImage(id=one.id, label=some.classes[some.labels[i]], why=one.why, arms=views))
    return tuple(found)
