"""Judges of labels: classifiers of real images that have not seen what they judge, nor what it was made from.

Each leaves out one or two folds of the training images, which are divided here too.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from synaug_core import checkpoints, errors, frozen, seeds
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.classify.training import TrainingJob
from synaug_core.classify.training import train as train_classifier
from synaug_core.config import ArmConfig, ClassifierConfig, JudgeConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.progress import Progress, part_of, silent
from synaug_core.vocabulary import Precision

__all__ = ["Judges", "Member", "assign_folds", "plan_panel", "split_panel"]


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
_SPEC, _KIND = "judges.json", "synaug judges 1"
_MOST = 100


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
    classifier: TrainedClassifier = field(repr=False)

    @property
    def name(self) -> str:
        """Such as `without-0-2`: also its folder."""
        return _name(self.left_out)


class _MemberSpec(frozen.Frozen):
    left_out: tuple[int, ...]
    unseen: tuple[str, ...]


class _Spec(frozen.Frozen):
    """The JSON beside the classifiers' folders."""

    kind: str
    classes: tuple[str, ...]
    folds: int
    fold_of: dict[str, int]
    members: tuple[_MemberSpec, ...]


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
        Sampling is balanced and the augmentation traditional; without validation images the last weights count.

        Args:
            train: real images. The folds are whole groups of them.
            classifier_config: the run's classifier; judges make half of its steps where `judge_config` names none.
            judge_config: folds and steps.
            seed: of the folds and of every judge.
            device: where to train.
            precision: see `devices.resolve_precision`.
            leaving_out: of each judge that is wanted, the folds that it does not see; None: all.
            progress: told the steps of all judges.
            deadline: seconds from now for all judges.
            checkpoint_for: where the state of the judge of that name is kept.

        Raises:
            DataError: all images are of one fold (one group), so that nobody can judge them.
            ConfigError, WeightsError, DivergenceError, DeadlineError: as `classify.training.train`.
        """
        start_time = time.monotonic()
        steps = classifier_config.steps_or_half(judge_config.steps)
        config = classifier_config.model_copy(update={"steps": steps, "class_weights": "none"})
        fold_of = assign_folds(train, judge_config.folds, seeds.derive(seed, "folds"))
        fold = torch.tensor([fold_of[i] for i in train.ids], dtype=torch.int64)
        if len(set(fold_of.values())) < 2:
            raise errors.DataError(
                "judges need training images of two groups at least; set filters.label_consistency to null"
            )
        panel_part = plan_panel(judge_config.folds) if leaving_out is None else leaving_out
        training_sets = {left_out: _without(train, fold, left_out) for left_out in panel_part}
        training_sets = {left_out: images for left_out, images in training_sets.items() if len(images)}
        members: list[Member] = []
        for left_out, images in training_sets.items():
            name = _name(left_out)
            trained = train_classifier(
                TrainingJob(
                    config,
                    _ARM,
                    images,
                    images.take([]),
                    init_seed=seeds.derive(seed, name, "weights"),
                    batch_seed=seeds.derive(seed, name, "batches"),
                    device=device,
                    precision=precision,
                    progress=part_of(progress, before=len(members) * steps, total_steps=len(training_sets) * steps),
                    checkpoint=checkpoint_for(name) if checkpoint_for else None,
                    deadline=None if deadline is None else deadline - (time.monotonic() - start_time),
                )
            )
            unseen_classes = tuple(c for c, n in images.counts().items() if not n)
            members.append(Member(left_out, unseen_classes, trained))
        return cls(train.classes, judge_config.folds, fold_of, tuple(members))

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
        """Write one folder for each judge and `judges.json`; equal judges give equal bytes."""
        for member in self.members:
            member.classifier.save(folder / member.name)
        spec = _Spec(
            kind=_KIND,
            classes=self.classes,
            folds=self.folds,
            fold_of=self.fold_of,
            members=tuple(_MemberSpec(left_out=m.left_out, unseen=m.unseen) for m in self.members),
        )
        text = json.dumps(spec.model_dump(mode="json"), indent=1)
        (folder / _SPEC).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Judges:
        """Read what `save` wrote.

        Raises:
            ArtifactError: files that are missing or damaged.
        """
        try:
            spec = _Spec.model_validate_json((folder / _SPEC).read_bytes())
        except (OSError, ValidationError) as error:
            raise errors.ArtifactError(f"{folder} holds no readable judges ({type(error).__name__})") from error
        if spec.kind != _KIND:
            raise errors.ArtifactError(f"{folder} holds {spec.kind[:60]!r}, which this version cannot read")
        if any(
            len(m.left_out) > spec.folds or not all(0 <= f < spec.folds <= _MOST for f in m.left_out)
            for m in spec.members
        ):
            raise errors.ArtifactError(f"{folder} holds judges of folds that there are not")
        members = tuple(
            Member(m.left_out, m.unseen, TrainedClassifier.load(folder / _name(m.left_out), device))
            for m in spec.members
        )
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


def _parents(provenance: str) -> list[str]:
    origin: Mapping[str, list[str]] = json.loads(provenance)
    return origin.get("parents", [])


def _without(train: ImageSet, fold: torch.Tensor, left_out: tuple[int, ...]) -> ImageSet:
    return train.take(~torch.isin(fold, torch.tensor(left_out)))


def _name(left_out: tuple[int, ...]) -> str:
    return "-".join(["without", *map(str, left_out)])
