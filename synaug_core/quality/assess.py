"""The judge of an image set: every figure of every class, at matched numbers, with the yardsticks beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from synaug_core.classify.trained import TrainedClassifier
from synaug_core.config import QualityConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.progress import Progress, silent
from synaug_core.quality import judge, report
from synaug_core.quality.consistency import Consistency, consistency
from synaug_core.quality.features import features, subset
from synaug_core.quality.measures import KidNull, Manifold, bandwidth, density_coverage, kid, kid_null, vendi
from synaug_core.quality.neighbours import Training, copying, copying_z, nearer
from synaug_core.quality.usefulness import Usefulness
from synaug_core.seeds import derive, stream

__all__ = ["assess"]

_DRAWS = 10
"""Random subsets over which a figure is the mean, where one side has more images than are matched."""


def assess(
    train: ImageSet,
    held_out: ImageSet,
    synthetic: ImageSet,
    *,
    features_by: TrainedClassifier,
    config: QualityConfig,
    seed: int,
    judges: judge.Judges | None = None,
    reconstruction: ImageSet | None = None,
    usefulness: Usefulness | None = None,
    progress: Progress = silent,
) -> report.QualityReport:
    """Look at each class that has synthetic images. Nothing is trained here.

    Args:
        train: real training images, all parents among them.
        held_out: real images that neither generator nor classifier has seen, as the validation images.
        synthetic: with provenance.
        features_by: a classifier trained on real images only; its features are the space of KID, density, coverage
            and Vendi score. Copies are looked for in pixels.
        config: k, draws of the null, most images of a class.
        seed: of the random subsets; a class's depend on this and its name alone.
        judges: cross-fitted on `train`; without them labels are not judged.
        reconstruction: training images through the generator and back, with provenance; the control of copying.
        usefulness: what `usefulness.usefulness` found, to be kept with the rest.
        progress: told the classes done and in all.

    Raises:
        DataError: a parent is not among the judges' training images.
    """
    names = [name for name, n in synthetic.counts().items() if n]
    classes = {}
    for done, name in enumerate(names, start=1):
        scene = _ClassImages.from_sets(
            name, train, held_out, features_by, judges, config, derive(seed, "quality", name)
        )
        classes[name] = report.ClassQuality(
            train=len(train.of_class(name)),
            held_out=len(held_out.of_class(name)),
            synthetic_count=len(synthetic.of_class(name)),
            reconstruction=None if reconstruction is None else scene.figures(reconstruction, None),
            synthetic=scene.figures(synthetic, reconstruction),
            reals=scene.of_reals(),
        )
        progress(done, len(names))
    unseen = {} if judges is None else {c: who for c, who in judges.unseen().items() if c in names}
    return report.QualityReport(
        classes=classes, all_classes=train.classes, judges_without_class=unseen, usefulness=usefulness
    )


@dataclass(frozen=True, eq=False)
class _ClassImages:
    """One class: its real images, measured once."""

    name: str
    train: ImageSet
    held_out: ImageSet
    reals: Tensor
    """Features of the held-out images."""
    width: float
    pixels: Training
    classifier: TrainedClassifier
    judges: judge.Judges | None
    config: QualityConfig
    seed: int

    @classmethod
    def from_sets(
        cls,
        name: str,
        train: ImageSet,
        held_out: ImageSet,
        classifier: TrainedClassifier,
        judges: judge.Judges | None,
        config: QualityConfig,
        seed: int,
    ) -> _ClassImages:
        own = _some(train.of_class(name), config.most, derive(seed, "train"))
        held = _some(held_out.of_class(name), config.most, derive(seed, "held out"))
        reals = features(held, classifier)
        return cls(
            name, own, held, reals, bandwidth(reals), Training.from_points(own.images), classifier, judges, config, seed
        )

    def figures(self, images: ImageSet, reconstruction: ImageSet | None) -> report.Figures | None:
        """Of the class's images among `images`; None where there are none."""
        own = _some(images.of_class(self.name), self.config.most, derive(self.seed, "synthetic"))
        if not len(own):
            return None
        reconstructed = None
        if reconstruction is not None:
            reconstructed = _some(
                reconstruction.of_class(self.name), self.config.most, derive(self.seed, "synthetic")
            ).images
        labels = None if self.judges is None else consistency(self.judges.probabilities(own), own.labels)
        return report.Figures(
            n=len(own),
            **self._beside_reals(own),
            **self._beside_training(own.images, reconstructed),
            **_of_labels(labels),
        )

    def of_reals(self) -> report.Figures:
        """What real images get."""
        labels = None
        if self.judges is not None and len(self.train):
            labels = consistency(self.judges.of_reals(self.train), self.train.labels)
        return report.Figures(
            n=len(self.train),
            **self._beside_reals(self.train),
            **self._beside_training(self.held_out.images, None),
            **_of_labels(labels),
        )

    def _beside_reals(self, images: ImageSet) -> dict[str, Any]:
        """Distance to the held-out images, and variety."""
        points, reals = features(images, self.classifier).double(), self.reals.double()
        size = min(len(points), len(reals))
        null = kid_null(reals, size, self.config.null_draws, derive(self.seed, "null"))
        random = stream(derive(self.seed, "matched"))
        draws = 1 if len(points) == len(reals) else _DRAWS
        rows = []
        for _ in range(draws):
            sample, real_sample = points[subset(len(points), size, random)], reals[subset(len(reals), size, random)]
            rows.append(_compared(sample, real_sample, self.config.neighbours, self.width))
        means = {name: _mean([row[name] for row in rows]) for name in rows[0]}
        clamped = min(self.config.neighbours, max(0, size - 1))
        return {"matched": size, "k": clamped, **means, **_of_null(null, means["kid"])}

    def _beside_training(self, images: Tensor, reconstruction: Tensor | None) -> dict[str, Any]:
        """Copies."""
        near = self.pixels.near(images)
        copies = copying(near, self.pixels)
        if copies is None:
            return {"training": len(self.train)}
        distance = near[0][:, 0]
        held = self.pixels.near(self.held_out.images)[0][:, :1].flatten()
        reconstructed = None if reconstruction is None else self.pixels.near(reconstruction)[0][:, :1].flatten()
        return {
            "training": copies.training,
            "nearest_distance": copies.distance,
            "nearest_ratio": copies.ratio,
            "authentic": copies.authentic,
            "copying_z": copying_z(distance, held),
            "nearer_than_reconstruction": None if reconstructed is None else nearer(distance, reconstructed),
        }


def _compared(images: Tensor, reals: Tensor, k: int, width: float) -> dict[str, float | None]:
    near: Manifold | None = density_coverage(reals, images, k)
    score, yardstick = vendi(images, "rbf", width), vendi(reals, "rbf", width)
    return {
        "kid": kid(reals, images),
        "density": None if near is None else near.density,
        "coverage": None if near is None else near.coverage,
        "vendi": score,
        "vendi_relative": None if score is None or yardstick is None else score / yardstick,
    }


def _of_null(null: KidNull | None, value: float | None) -> dict[str, Any]:
    if null is None or value is None:
        return {}
    return {
        "kid_null_n": null.n,
        "kid_null_mean": null.mean,
        "kid_null_std": null.std,
        "kid_z": null.z(value),
        "kid_null_above": null.share_above(value),
    }


def _of_labels(labels: Consistency | None) -> dict[str, Any]:
    if labels is None:
        return {}
    return {"judged": labels.judged, "agreement": labels.agreement, "label_probability": labels.probability}


def _mean(values: list[float | None]) -> float | None:
    defined = [v for v in values if v is not None]
    return sum(defined) / len(defined) if defined else None


def _some(images: ImageSet, most: int, seed: int) -> ImageSet:
    """At most so many, at random, in their order."""
    return images.take(subset(len(images), most, stream(seed)).sort().values) if len(images) > most else images
