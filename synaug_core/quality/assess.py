"""The judge of an image set: every figure of every class, at matched numbers, with the yardsticks beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from synaug_core.config import QualityConfig
from synaug_core.data.imageset import ImageSet, concatenate
from synaug_core.progress import Progress, silent
from synaug_core.quality import judge, report
from synaug_core.quality.consistency import Consistency, measure_consistency
from synaug_core.quality.features import Points, subset
from synaug_core.quality.measures import KidNull, Manifold, bandwidth, density_coverage, kid, kid_null, vendi
from synaug_core.quality.neighbours import Training, copying_z, measure_copying, measure_nearness
from synaug_core.quality.separability import Separability, measure_separability
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
    points_of: Points,
    config: QualityConfig,
    seed: int,
    judges: judge.Judges | None = None,
    reconstruction: ImageSet | None = None,
    usefulness: Usefulness | None = None,
    shown: int | None = None,
    progress: Progress = silent,
) -> report.QualityReport:
    """Measure the quality of each class's synthetic images. Nothing is trained here.

    Args:
        train: real training images, all parents among them.
        held_out: real images that neither generator nor classifier has seen, as the validation images.
        synthetic: with provenance.
        points_of: the space of KID, density, coverage and Vendi score: features that no synthetic image had a part in.
            Copies are looked for in pixels, as a copy is a matter of pixels.
        config: k, draws of the null, most images of a class.
        seed: of the random subsets; a class's depend on this and its name alone.
        judges: cross-fitted on `train`; without them labels are not judged.
        reconstruction: training images through the generator and back, with provenance; the control of copying.
        usefulness: what `usefulness.usefulness` found, to be kept with the rest.
        shown: pixels a side of what the classifier is shown of the images; None: the images as they are.
        progress: told the classes done and in all.

    Raises:
        DataError: a parent is not among the judges' training images.
    """
    names = [name for name, n in synthetic.counts().items() if n]
    classes = {}
    for done, name in enumerate(names, start=1):
        scene = _ClassImages.from_sets(
            name, train, held_out, points_of, judges, config, shown, derive(seed, "quality", name)
        )
        separable, control = (scene.separate(images) for images in (synthetic, reconstruction))
        classes[name] = report.ClassQuality(
            train=len(train.of_class(name)),
            held_out=len(held_out.of_class(name)),
            synthetic_count=len(synthetic.of_class(name)),
            reconstruction=None if reconstruction is None else scene.figures(reconstruction, None, control),
            synthetic=scene.figures(synthetic, reconstruction, separable),
            reals=scene.of_reals(separable),
        )
        progress(done, len(names))
    blind_judges = (
        {}
        if judges is None
        else {c: judge_names for c, judge_names in judges.list_unseen_classes().items() if c in names}
    )
    return report.QualityReport(
        classes=classes,
        all_classes=train.classes,
        judges_without_class=blind_judges,
        usefulness=usefulness,
        space=points_of.title,
    )


@dataclass(frozen=True, eq=False)
class _ClassImages:
    """One class: its real images, measured once."""

    name: str
    train: ImageSet
    held_out: ImageSet
    all_real: ImageSet
    """All training and held-out images."""
    reals: Tensor
    """Features of the held-out images."""
    width: float
    pixels: Training
    points_of: Points
    judges: judge.Judges | None
    config: QualityConfig
    shown: int | None
    """Pixels a side of what the classifier is shown."""
    seed: int

    @classmethod
    def from_sets(
        cls,
        name: str,
        train: ImageSet,
        held_out: ImageSet,
        points_of: Points,
        judges: judge.Judges | None,
        config: QualityConfig,
        shown: int | None,
        seed: int,
    ) -> _ClassImages:
        train_images = _some(train.of_class(name), config.most, derive(seed, "train"))
        held_out_images = _some(held_out.of_class(name), config.most, derive(seed, "held out"))
        real_features = points_of(held_out_images)
        return cls(
            name,
            train_images,
            held_out_images,
            concatenate([train.of_class(name), held_out.of_class(name)]),
            real_features,
            bandwidth(real_features),
            Training.from_points(train_images.images),
            points_of,
            judges,
            config,
            shown,
            seed,
        )

    def separate(self, images: ImageSet | None) -> Separability | None:
        """How well the class's images among `images` can be told from all its real ones."""
        if images is None:
            return None
        return measure_separability(
            self.all_real,
            images.of_class(self.name),
            most=self.config.most,
            seed=derive(self.seed, "separability"),
            shown=self.shown,
        )

    def figures(
        self, images: ImageSet, reconstruction: ImageSet | None, separable: Separability | None
    ) -> report.Figures | None:
        """Of the class's images among `images`; None where there are none."""
        class_images = _some(images.of_class(self.name), self.config.most, derive(self.seed, "synthetic"))
        if not len(class_images):
            return None
        reconstructed = None
        if reconstruction is not None:
            reconstructed = _some(
                reconstruction.of_class(self.name), self.config.most, derive(self.seed, "synthetic")
            ).images
        labels = (
            None
            if self.judges is None
            else measure_consistency(self.judges.probabilities(class_images), class_images.labels)
        )
        return report.Figures(
            n=len(class_images),
            separability=separable.auc if separable is not None else None,
            **self._beside_reals(class_images),
            **self._beside_training(class_images.images, reconstructed),
            **_of_labels(labels),
        )

    def of_reals(self, separable: Separability | None) -> report.Figures:
        """What real images get; `separable` holds what chance reaches."""
        labels = None
        if self.judges is not None and len(self.train):
            labels = measure_consistency(self.judges.of_reals(self.train), self.train.labels)
        return report.Figures(
            n=len(self.train),
            separability=separable.chance if separable is not None else None,
            **self._beside_reals(self.train),
            **self._beside_training(self.held_out.images, None),
            **_of_labels(labels),
        )

    def _beside_reals(self, images: ImageSet) -> dict[str, Any]:
        """Distance to the held-out images, and variety."""
        points, real_features = self.points_of(images).double(), self.reals.double()
        size = min(len(points), len(real_features))
        null_kid = kid_null(real_features, size, self.config.null_draws, derive(self.seed, "null"))
        random = stream(derive(self.seed, "matched"))
        draws = 1 if len(points) == len(real_features) else _DRAWS
        rows = []
        for _ in range(draws):
            sample, real_sample = (
                points[subset(len(points), size, random)],
                real_features[subset(len(real_features), size, random)],
            )
            rows.append(_compared(sample, real_sample, self.config.neighbours, self.width))
        means = {name: _mean([row[name] for row in rows]) for name in rows[0]}
        clamped = min(self.config.neighbours, max(0, size - 1))
        return {"matched": size, "k": clamped, **means, **_of_null(null_kid, means["kid"])}

    def _beside_training(self, images: Tensor, reconstruction: Tensor | None) -> dict[str, Any]:
        """Copies."""
        neighbours = self.pixels.find_nearest(images)
        copies = measure_copying(neighbours, self.pixels)
        if copies is None:
            return {"training": len(self.train)}
        distance = neighbours[0][:, 0]
        held_out_distances = self.pixels.find_nearest(self.held_out.images)[0][:, :1].flatten()
        reconstructed = None if reconstruction is None else self.pixels.find_nearest(reconstruction)[0][:, :1].flatten()
        return {
            "training": copies.training,
            "nearest_distance": copies.distance,
            "nearest_ratio": copies.ratio,
            "authentic": copies.authentic,
            "copying_z": copying_z(distance, held_out_distances),
            "nearer_than_reconstruction": None if reconstructed is None else measure_nearness(distance, reconstructed),
        }


def _compared(images: Tensor, real_features: Tensor, k: int, width: float) -> dict[str, float | None]:
    manifold: Manifold | None = density_coverage(real_features, images, k)
    score, yardstick = vendi(images, "rbf", width), vendi(real_features, "rbf", width)
    return {
        "kid": kid(real_features, images),
        "density": None if manifold is None else manifold.density,
        "coverage": None if manifold is None else manifold.coverage,
        "vendi": score,
        "vendi_relative": None if score is None or yardstick is None else score / yardstick,
    }


def _of_null(null_kid: KidNull | None, value: float | None) -> dict[str, Any]:
    if null_kid is None or value is None:
        return {}
    return {
        "kid_null_n": null_kid.n,
        "kid_null_mean": null_kid.mean,
        "kid_null_std": null_kid.std,
        "kid_z": null_kid.z(value),
        "kid_null_above": null_kid.share_above(value),
    }


def _of_labels(labels: Consistency | None) -> dict[str, Any]:
    if labels is None:
        return {}
    return {"judged": labels.judged, "agreement": labels.agreement, "label_probability": labels.probability}


def _mean(values: list[float | None]) -> float | None:
    values_defined = [v for v in values if v is not None]
    return sum(values_defined) / len(values_defined) if values_defined else None


def _some(images: ImageSet, limit: int, seed: int) -> ImageSet:
    """At most so many, at random, in their order."""
    return images.take(subset(len(images), limit, stream(seed)).sort().values) if len(images) > limit else images
