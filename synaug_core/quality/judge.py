"""Judges of labels: classifiers of real images that have not seen what they judge, nor what it was made from.

Each leaves out one or two folds of the training images, which are divided here too. It is a linear head on the features
of a pretrained backbone that all share, or a classifier trained as the run's is.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from torch import Tensor

from synaug_core import checkpoints, digests, errors, frozen, seeds
from synaug_core.classify.frozen.features import BATCH
from synaug_core.classify.frozen.head import Head, image_weights, solve
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.classify.training import TrainingJob
from synaug_core.classify.training import train as train_classifier
from synaug_core.config import ArmConfig, ClassifierConfig, JudgeConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.progress import Progress, part_of, silent
from synaug_core.quality.features import FrozenFeatures, scale_of
from synaug_core.vocabulary import Precision

__all__ = ["Judges", "LinearJudge", "Member", "Votes", "assign_folds", "plan_panel", "split_panel"]


def assign_folds(train: ImageSet, folds: int, seed: int) -> dict[str, int]:
    """The fold in [0, folds) of each image's id.

    Groups go, those of the rarest class and the largest first, where their classes are worst represented; of equally
    good folds to the one with the fewest images. So a class with as many groups as folds is in every fold.
    """
    content: dict[str, Counter[int]] = defaultdict(Counter)
    for group, label in zip(train.groups, train.labels.tolist(), strict=True):
        content[group][label] += 1
    totals = Counter(train.labels.tolist())
    fold_counts: list[Counter[int]] = [Counter() for _ in range(folds)]

    def place(group: str) -> tuple[int, int, int, str]:
        group_counts = content[group]
        return min(totals[c] for c in group_counts), -group_counts.total(), seeds.derive(seed, "fold", group), group

    fold_of: dict[str, int] = {}
    for group in sorted(content, key=place):
        group_counts = content[group]

        def filled(fold: int, group_counts: Counter[int] = group_counts) -> tuple[float, int, int]:
            share = sum(fold_counts[fold][c] * n / totals[c] for c, n in group_counts.items())
            return round(share, 9), fold_counts[fold].total(), fold

        best_fold = min(range(folds), key=filled)
        fold_counts[best_fold].update(group_counts)
        fold_of[group] = best_fold
    return {image: fold_of[group] for image, group in zip(train.ids, train.groups, strict=True)}


def plan_panel(folds: int) -> tuple[tuple[int, ...], ...]:
    """List what each judge leaves out: every fold, and every pair of folds, since an image may have two parents."""
    return tuple(left_out for size in (1, 2) for left_out in combinations(range(folds), size))


def split_panel(folds: int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Split the panel into `folds` parts whose numbers of judges differ by one at most, in its order."""
    judges = plan_panel(folds)
    cuts = [round(i * len(judges) / folds) for i in range(folds + 1)]
    return tuple(judges[a:b] for a, b in pairwise(cuts))


_ARM = ArmConfig(name="judge", sampling="balanced", augmentation="traditional")
_SPEC, _HEADS = "judges.json", "heads.safetensors"
_KINDS = {"classifier": "synaug judges 1", "frozen": "synaug judges 2"}
_MOST = 100
_STRENGTH = 1e-2
"""C of a judge's head: stronger, judges of classes that overlap are too sure; weaker, those of many classes are too
little so."""
_GRADIENT = 1e-5
"""Where the search for a head ends: judges need no more digits."""
_LEFT_TO_PREDICT = 4096
"""Images whose features are in memory together."""


class Votes(Protocol):
    """Who says how likely each class is."""

    def predict(self, images: Tensor | ImageSet) -> NDArray[np.floating]:
        """Class probabilities (n, C) of uint8 images (n, channels, size, size)."""


@dataclass(frozen=True, eq=False)
class LinearJudge:
    """A linear head on the features of a frozen backbone.

    Attributes:
        features: of the backbone, as it gives them.
        head: on these.
    """

    features: FrozenFeatures
    head: Head = field(repr=False)

    @classmethod
    def fit(cls, features: FrozenFeatures, images: ImageSet, points: Tensor) -> LinearJudge:
        """Multinomial logistic regression in which all classes weigh the same, on standardised features.

        Of n images with many more features the solution lies in the n-dimensional space that they span, so that it is
        searched there.

        Args:
            features: which the points are.
            images: n >= 1 real images.
            points: their features, float32 (n, d).
        """
        scale = scale_of(points).double()
        standardised = scale.standardise(points.double())
        weights, _ = image_weights(features.config, _ARM, images)
        basis = None
        if 2 * len(standardised) <= standardised.shape[1]:
            basis, triangle = torch.linalg.qr(standardised.T)
            standardised = triangle.T.contiguous()
        head, _ = solve(
            standardised,
            images.labels,
            weights,
            classes=len(images.classes),
            strength=_STRENGTH,
            gradient=_GRADIENT,
        )
        weight = (head.weight if basis is None else head.weight @ basis.T) / scale.deviation
        return cls(features, Head(weight, head.bias - weight @ scale.mean))

    def predict(self, images: Tensor | ImageSet) -> NDArray[np.float64]:
        """Class probabilities float64 (n, C)."""
        pixels = images.images if isinstance(images, ImageSet) else images
        parts = [self.head.logits(self.features.raw(p).double()) for p in torch.split(pixels, _LEFT_TO_PREDICT)]
        return torch.cat(parts).softmax(dim=1).numpy()


@dataclass(frozen=True, eq=False)
class Member:
    """One judge.

    Attributes:
        left_out: folds whose images it was not trained on, ascending.
        unseen: classes of the data set of which it has seen no image.
        classifier: trained on the images of all other folds.
    """

    left_out: tuple[int, ...]
    unseen: tuple[str, ...]
    classifier: Votes = field(repr=False)

    @property
    def name(self) -> str:
        """Such as `without-0-2`: also its folder."""
        return _name(self.left_out)


class _MemberSpec(frozen.Frozen):
    left_out: tuple[int, ...]
    unseen: tuple[str, ...]


class _BackboneSpec(frozen.Frozen):
    config: ClassifierConfig
    channels: Literal[1, 3]
    size: Annotated[int, Field(ge=1, le=4096)]
    weights: str
    """Their digest (`FrozenFeatures.digest`); they are not stored."""
    heads: str
    """SHA-256 of the file of the heads."""


class _Spec(frozen.Frozen):
    """The JSON beside the classifiers' folders, or beside the heads."""

    kind: str
    classes: tuple[str, ...]
    folds: int
    fold_of: dict[str, int]
    members: tuple[_MemberSpec, ...]
    backbone: _BackboneSpec | None = None
    """Below the heads; None: each judge has a network of its own."""


@dataclass(frozen=True, eq=False)
class Judges:
    """Classifiers of the real training images, each without one fold or two.

    Attributes:
        classes: names, in the order of the probabilities.
        folds: number of parts.
        fold_of: the part of each training image's id.
        members: the judges; a fold without which no image is left has none.
    """

    classes: tuple[str, ...]
    folds: int
    fold_of: dict[str, int] = field(repr=False)
    members: tuple[Member, ...]

    @classmethod
    def fit(
        cls,
        train: ImageSet,
        classifier_config: ClassifierConfig,
        judge_config: JudgeConfig,
        *,
        seed: int,
        device: torch.device | str = "cpu",
        precision: Precision = "auto",
        leaving_out: Sequence[tuple[int, ...]] | None = None,
        progress: Progress = silent,
        deadline: float | None = None,
        checkpoint_for: Callable[[str], checkpoints.Checkpoint] | None = None,
    ) -> Judges:
        """Train K judges that leave out one fold each and K (K - 1) / 2 that leave out two, or some of them.

        Each is the same whichever others are trained beside it, so that `join` makes of parts what one call makes.
        All classes weigh the same. With `training: frozen` the features of all images are computed once, without
        augmentation, and a judge is the solution of a convex problem; else the sampling is balanced, the augmentation
        traditional, and without validation images the last weights count.

        Args:
            train: real images. The folds are whole groups of them.
            classifier_config: the run's classifier. Judges make half of its steps where `judge_config` names none;
                with `training: frozen` they have the backbone of `features.extractor_config`.
            judge_config: way of training, folds and steps.
            seed: of the folds and of every judge.
            device: where to train.
            precision: see `devices.resolve_precision`.
            leaving_out: of each judge that is wanted, the folds that it does not see; None: all.
            progress: told the steps of all judges; with `training: frozen` a judge is one, and so are 32 images.
            deadline: seconds from now for all judges.
            checkpoint_for: where the state of the judge of that name is kept; frozen there is none.

        Raises:
            DataError: all images are of one fold (one group), so that nobody can judge them.
            ConfigError, WeightsError, DivergenceError, DeadlineError: as `classify.training.train`.
        """
        folds = judge_config.fold_count
        fold_of = assign_folds(train, folds, seeds.derive(seed, "folds"))
        fold = torch.tensor([fold_of[i] for i in train.ids], dtype=torch.int64)
        if len(set(fold_of.values())) < 2:
            raise errors.DataError(
                "judges need training images of two groups at least; set filters.label_consistency to null"
            )
        panel_part = plan_panel(folds) if leaving_out is None else leaving_out
        training_sets = {left_out: _without(train, fold, left_out) for left_out in panel_part}
        training_sets = {left_out: images for left_out, images in training_sets.items() if len(images)}
        if judge_config.training == "frozen":
            features = FrozenFeatures.load(classifier_config, channels=train.channels, size=train.size, device=device)
            judges = _fit_heads(features, train, training_sets, progress, deadline)
        else:
            steps = classifier_config.steps_or_half(judge_config.steps)
            config = classifier_config.model_copy(update={"steps": steps, "class_weights": "none"})
            job = TrainingJob(
                *(config, _ARM, train, train.take([])), init_seed=0, batch_seed=0, device=device, precision=precision
            )
            judges = _train_networks(job, training_sets, seed, progress, deadline, checkpoint_for)
        members = tuple(
            Member(left_out, tuple(c for c, n in images.counts().items() if not n), judge)
            for (left_out, images), judge in zip(training_sets.items(), judges, strict=True)
        )
        return cls(train.classes, folds, fold_of, members)

    @classmethod
    def join(cls, parts: Sequence[Judges]) -> Judges:
        """Join judges that were trained in parts into one panel: those that leave out the fewest folds come first.

        Raises:
            ArtifactError: no part, or parts of different training images, folds or classes.
        """
        if len({(p.classes, p.folds, tuple(sorted(p.fold_of.items()))) for p in parts}) != 1:
            raise errors.ArtifactError("these judges are not parts of one panel: their training images differ")
        members = sorted((m for p in parts for m in p.members), key=lambda m: (len(m.left_out), m.left_out))
        return cls(parts[0].classes, parts[0].folds, parts[0].fold_of, tuple(members))

    def probabilities(self, images: ImageSet) -> NDArray[np.float64]:
        """Class probabilities float64 (n, C) by judges that have not seen the images' parents.

        An image is judged by those of the judges without its parents' folds that have left out the fewest; without
        parents by all that left out one fold; by the mean where they are several. Judges that have seen no image of
        the class that an image is said to have do not judge it. A row is NaN where nobody is left.

        Args:
            images: synthetic images with `parents` (ids of training images) in their provenance, or real ones that
                are not among the training images.

        Raises:
            DataError: a parent is not among the judges' training images.
        """
        return self._judged(images, [self._folds_of(_parents(text)) for text in images.provenance])

    def of_reals(self, train: ImageSet) -> NDArray[np.float64]:
        """The same of the training images themselves, each by the judge that left out its fold.

        Raises:
            DataError: an image is not among the judges' training images.
        """
        return self._judged(train, [self._folds_of([image]) for image in train.ids])

    def list_unseen_classes(self) -> dict[str, tuple[str, ...]]:
        """List by class the judges that have seen none of its images; classes that all have seen are left out."""
        names_by_class = {c: tuple(m.name for m in self.members if c in m.unseen) for c in self.classes}
        return {c: names for c, names in names_by_class.items() if names}

    def save(self, folder: Path) -> None:
        """Write `judges.json` and one folder for each judge, or one file with the heads of all; equal judges give equal
        bytes. A frozen backbone's weights are not stored: they are known by their digest."""
        from safetensors.torch import save

        folder.mkdir(parents=True, exist_ok=True)
        for member in self.members:
            if isinstance(member.classifier, TrainedClassifier):
                member.classifier.save(folder / member.name)
        heads = {m.name: m.classifier for m in self.members if isinstance(m.classifier, LinearJudge)}
        backbone = None
        if heads:
            tensors = {f"{n}.{part}": getattr(j.head, part).cpu() for n, j in heads.items() for part in _PARTS}
            data = save({name: tensor.contiguous() for name, tensor in tensors.items()})
            (folder / _HEADS).write_bytes(data)
            features = next(iter(heads.values())).features
            backbone = _BackboneSpec(
                config=features.config,
                channels=3 if features.channels == 3 else 1,
                size=features.size,
                weights=features.digest,
                heads=digests.of_bytes(data),
            )
        spec = _Spec(
            kind=_KINDS["frozen" if heads else "classifier"],
            classes=self.classes,
            folds=self.folds,
            fold_of=self.fold_of,
            members=tuple(_MemberSpec(left_out=m.left_out, unseen=m.unseen) for m in self.members),
            backbone=backbone,
        )
        text = json.dumps(spec.model_dump(mode="json", exclude=None if heads else {"backbone"}), indent=1)
        (folder / _SPEC).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Judges:
        """Read what `save` wrote.

        Raises:
            ArtifactError: files that are missing or damaged, or judges of a backbone with other weights.
            WeightsError: their backbone's weights cannot be had.
        """
        try:
            spec = _Spec.model_validate_json((folder / _SPEC).read_bytes())
        except (OSError, ValidationError) as error:
            raise errors.ArtifactError(f"{folder} holds no readable judges ({type(error).__name__})") from error
        if spec.kind != _KINDS["classifier" if spec.backbone is None else "frozen"]:
            raise errors.ArtifactError(f"{folder} holds {spec.kind[:60]!r}, which this version cannot read")
        if any(
            len(m.left_out) > spec.folds or not all(0 <= f < spec.folds <= _MOST for f in m.left_out)
            for m in spec.members
        ):
            raise errors.ArtifactError(f"{folder} holds judges of folds that there are not")
        judges: list[Votes] = []
        if spec.backbone is not None:
            judges += _load_heads(folder, spec, spec.backbone, device)
        else:
            judges += [TrainedClassifier.load(folder / _name(m.left_out), device) for m in spec.members]
        members = tuple(Member(m.left_out, m.unseen, judge) for m, judge in zip(spec.members, judges, strict=True))
        return cls(spec.classes, spec.folds, spec.fold_of, members)

    def judges_for(self, folds: frozenset[int], class_name: str) -> tuple[Member, ...]:
        """Who judges an image of that class whose parents lie in these folds; nobody where it is empty."""
        able = [m for m in self.members if folds <= set(m.left_out) and class_name not in m.unseen]
        fewest = min((len(m.left_out) for m in able), default=0)
        return tuple(m for m in able if len(m.left_out) == fewest)

    def _judged(self, images: ImageSet, folds: Sequence[frozenset[int]]) -> NDArray[np.float64]:
        rows: dict[tuple[frozenset[int], int], list[int]] = defaultdict(list)
        for i, (parent_folds, label) in enumerate(zip(folds, images.labels.tolist(), strict=True)):
            rows[parent_folds, label].append(i)
        by_member: dict[str, list[int]] = defaultdict(list)
        for (parent_folds, label), index in rows.items():
            for member in self.judges_for(parent_folds, self.classes[label]):
                by_member[member.name] += index
        probability_sums = np.zeros((len(images), len(self.classes)))
        votes = np.zeros(len(images))
        for member in self.members:  # each judge sees all its images in one call
            index = sorted(by_member[member.name])
            if index:
                probability_sums[index] += member.classifier.predict(images.images[index])
                votes[index] += 1
        probability_sums[votes == 0] = np.nan
        return np.asarray(probability_sums / np.maximum(votes, 1)[:, None])

    def _folds_of(self, ids: Iterable[str]) -> frozenset[int]:
        try:
            return frozenset(self.fold_of[i] for i in ids)
        except KeyError as error:
            raise errors.DataError(f"image {error.args[0]!r} is not among the judges' training images") from error


def _fit_heads(
    features: FrozenFeatures,
    train: ImageSet,
    training_sets: Mapping[tuple[int, ...], ImageSet],
    progress: Progress,
    deadline: float | None,
) -> Sequence[Votes]:
    """A head for each of the sets, which are parts of `train`."""
    start_time = time.monotonic()
    batches = math.ceil(len(train) / BATCH)
    done, total = 0, batches + len(training_sets)

    def tick() -> None:
        nonlocal done
        done += 1
        if deadline is not None and time.monotonic() - start_time > deadline:
            raise errors.DeadlineError(f"judges: the training passed {deadline:g} s in part {done} of {total}")
        progress(done, total)

    points = features.raw(train, after_batch=tick)
    row_of, done = {image: row for row, image in enumerate(train.ids)}, batches
    judges = []
    for images in training_sets.values():
        judges.append(LinearJudge.fit(features, images, points[[row_of[image] for image in images.ids]]))
        tick()
    return judges


def _train_networks(
    job: TrainingJob,
    training_sets: Mapping[tuple[int, ...], ImageSet],
    seed: int,
    progress: Progress,
    deadline: float | None,
    checkpoint_for: Callable[[str], checkpoints.Checkpoint] | None,
) -> Sequence[Votes]:
    """A network for each of the sets, as `job` says but for its images and seeds."""
    start_time, steps = time.monotonic(), job.config.step_count
    judges: list[TrainedClassifier] = []
    for left_out, images in training_sets.items():
        name = _name(left_out)
        one = replace(
            job,
            images=images,
            init_seed=seeds.derive(seed, name, "weights"),
            batch_seed=seeds.derive(seed, name, "batches"),
            progress=part_of(progress, before=len(judges) * steps, total_steps=len(training_sets) * steps),
            checkpoint=checkpoint_for(name) if checkpoint_for else None,
            deadline=None if deadline is None else deadline - (time.monotonic() - start_time),
        )
        judges.append(train_classifier(one))
    return judges


_PARTS = ("weight", "bias")


def _load_heads(folder: Path, spec: _Spec, backbone: _BackboneSpec, device: torch.device | str) -> list[LinearJudge]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = (folder / _HEADS).read_bytes()
        tensors = load(data)
        heads = [Head(*(tensors[f"{_name(m.left_out)}.{part}"] for part in _PARTS)) for m in spec.members]
    except (OSError, SafetensorError, KeyError) as error:
        raise errors.ArtifactError(f"{folder} holds no readable judges ({type(error).__name__})") from error
    if digests.of_bytes(data) != backbone.heads:
        raise errors.ArtifactError(f"{folder / _HEADS} does not hold the bytes that were written")
    try:
        features = FrozenFeatures.load(backbone.config, channels=backbone.channels, size=backbone.size, device=device)
    except errors.ConfigError as error:
        raise errors.ArtifactError(f"{folder} holds judges on a backbone that cannot be built ({error})") from error
    if features.digest != backbone.weights:
        raise errors.ArtifactError(f"{folder} holds judges on {backbone.config.backbone} with other weights")
    shape = (len(spec.classes), features.model.width)
    if any((h.weight.shape, h.bias.shape, h.weight.dtype) != (shape, shape[:1], torch.float64) for h in heads):
        raise errors.ArtifactError(f"{folder}: the heads do not fit their description")
    return [LinearJudge(features, head) for head in heads]


def _parents(provenance: str) -> list[str]:
    origin: Mapping[str, list[str]] = json.loads(provenance)
    return origin.get("parents", [])


def _without(train: ImageSet, fold: torch.Tensor, left_out: tuple[int, ...]) -> ImageSet:
    return train.take(~torch.isin(fold, torch.tensor(left_out)))


def _name(left_out: tuple[int, ...]) -> str:
    return "-".join(["without", *map(str, left_out)])
