"""A trained classifier and the course of its training. It is stored and loaded without pickle and without any hub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from torch import Tensor

from synaug_core import digests, errors, frozen
from synaug_core.classify.model import Classifier, Ensemble, batches, build
from synaug_core.config import ClassifierConfig
from synaug_core.data.imageset import ImageSet

__all__ = ["Ending", "Evaluation", "History", "TrainedClassifier"]


Ending = Literal["all steps", "early stop", "no validation images", "solved"]
"""Why a training was over. `no validation images`: all steps were made and the last weights were kept; `solved`: the
head of a frozen backbone is the solution of its convex problem, and there are no steps."""


class Evaluation(frozen.Frozen):
    """Losses and validation scores of a classifier at one step of its training; with a frozen backbone a step is one
    strength of the head.

    The scores are those of the network that would be kept at that step: with the statistics of clean real images, and
    with averaged weights where these are kept.
    """

    step: int
    train_loss: float
    """Mean over the steps since the evaluation before, with label smoothing and class weights."""
    val_loss: float | None = None
    """Mean cross-entropy in nats; None without validation images."""
    val_balanced_loss: float | None = None
    """Mean over the classes of each one's."""
    val_balanced_accuracy: float | None = None
    val_macro_auc: float | None = None
    """None also where no class has images inside and outside."""
    prior_correction: float | None = None
    """Strength of the prior correction with which the validation images were judged, where it was chosen on them."""


class History(frozen.Frozen):
    """The evaluations of a training, and how it ended."""

    evaluations: tuple[Evaluation, ...]
    best_step: int
    """The step whose weights were kept."""
    stopped_at: int
    """Optimiser steps made."""
    ended: Ending
    members: int = 1
    """Networks that shared the steps, one after the other."""
    prior: tuple[float, ...] = ()
    """Share of each class in what the training drew and weighed; empty in classifiers of earlier versions."""
    prior_correction: float = 0.0
    """Strength tau of the prior correction in the weights that were kept."""
    head_strength: float | None = None
    """C of the head that was kept, on a frozen backbone."""
    seconds: float = 0.0
    """Time of the part after the last resume; not stored, so that equal trainings have equal files."""

    @property
    def best_score(self) -> float | None:
        """Validation balanced accuracy of the weights that were kept."""
        return next((e.val_balanced_accuracy for e in self.evaluations if e.step == self.best_step), None)

    @property
    def is_still_learning(self) -> bool:
        """True where the losses were still falling when the steps ended: from the fifth before to the last fifth of
        the steps that on the training images and, where there are any, the balanced one on the validation images.

        A fall counts from 2 % and 0.01 nats on. False where a training was stopped early, and where a fifth has no
        evaluation. False too where no steps were made.
        """
        if self.ended in ("early stop", "solved"):
            return False
        steps = self.stopped_at / self.members
        to_go = [(e, (self.stopped_at - e.step) / max(1, steps)) for e in self.evaluations]
        before = [e for e, share in to_go if 0.2 <= share < 0.4]
        later = [e for e, share in to_go if share < 0.2]
        return _has_fallen([e.train_loss for e in before], [e.train_loss for e in later]) and (
            self.ended == "no validation images"
            or _has_fallen([e.val_balanced_loss for e in before], [e.val_balanced_loss for e in later])
        )


def _has_fallen(before: Sequence[float | None], after: Sequence[float | None]) -> bool:
    """Whether the mean of the later losses is clearly below that of the earlier ones."""
    earlier, later = ([loss for loss in part if loss is not None] for part in (before, after))
    return bool(earlier and later) and fmean(earlier) - fmean(later) > max(_FALL * fmean(earlier), _SMALLEST_FALL)


_SPEC, _WEIGHTS = "spec.json", "weights.safetensors"
_LARGEST = 4096
_MOST_MEMBERS = 64
_FALL, _SMALLEST_FALL = 0.02, 0.01
_SHOWN = 500


class _Spec(frozen.Frozen):
    """The JSON beside the weights."""

    kind: str = "synaug classifier 1"
    config: ClassifierConfig
    classes: tuple[str, ...]
    channels: Literal[1, 3]
    size: Annotated[int, Field(ge=1, le=_LARGEST)]
    members: Annotated[int, Field(ge=1, le=_MOST_MEMBERS)] = 1
    """Networks whose probabilities are averaged."""
    history: History
    weights: str
    """SHA-256 of the weights file."""


@dataclass(frozen=True, eq=False)
class TrainedClassifier:
    """A trained classifier with the history of its training.

    Attributes:
        model: in evaluation mode.
        config: of its training.
        classes: names, in the order of the probabilities.
        channels, size: of the images it takes.
        history: the course of its training.
    """

    model: Classifier = field(repr=False)
    config: ClassifierConfig
    classes: tuple[str, ...]
    channels: int
    size: int
    history: History = field(repr=False)

    def predict(self, images: Tensor | ImageSet, *, device: torch.device | str | None = None) -> NDArray[np.float32]:
        """Class probabilities, float32 (n, classes), rows summing to 1. Dropout is off.

        With a frozen backbone the features of an image set are remembered, as those of a run are wanted for every arm;
        those of a tensor are not. Probabilities of the two may differ in their last digit.

        Args:
            images: an image set, or uint8 (n, channels, size, size).
            device: moves the model there first; None computes where it is.

        Raises:
            ValueError: images of another dtype or shape.
        """
        pixels = images.images if isinstance(images, ImageSet) else images
        self.check(pixels)
        model = self.model if device is None else self.model.to(device)
        model.eval()
        if isinstance(images, ImageSet) and self.config.training == "frozen":
            from synaug_core.classify.frozen.features import predict_logits

            return predict_logits(model, pixels).softmax(dim=1).cpu().numpy()
        rows = np.empty((len(pixels), len(self.classes)), dtype=np.float32)
        start = 0
        with torch.inference_mode():
            for part in batches(model, pixels):
                rows[start : start + len(part)] = model(part.to(model.mean.device)).softmax(dim=1).cpu().numpy()
                start += len(part)
        return rows

    def check(self, images: Tensor) -> None:
        """Check that the classifier takes these images.

        Raises:
            ValueError: images of another dtype or shape.
        """
        image_shape = (self.channels, self.size, self.size)
        if images.dtype != torch.uint8 or tuple(images.shape[1:]) != image_shape:
            shape = tuple(images.shape)
            raise ValueError(f"images: uint8 {('n', *image_shape)} expected, got {images.dtype} {shape}")

    def save(self, folder: Path) -> None:
        """Write `weights.safetensors` and `spec.json`; equal classifiers give equal bytes."""
        from safetensors.torch import save

        folder.mkdir(parents=True, exist_ok=True)
        data = save({k: v.detach().cpu().contiguous() for k, v in self.model.state_dict().items()})
        spec = _Spec(
            config=self.config,
            classes=self.classes,
            channels=self.channels,
            size=self.size,
            members=len(self.model.networks),
            history=self.history,
            weights=digests.of_bytes(data),
        )
        (folder / _WEIGHTS).write_bytes(data)
        text = json.dumps(spec.model_dump(mode="json", exclude={"history": {"seconds"}}), indent=1)
        (folder / _SPEC).write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether a folder holds a stored classifier, or a part of one."""
        return (folder / _SPEC).exists() or (folder / _WEIGHTS).exists()

    @staticmethod
    def history_in(folder: Path) -> History:
        """The course of a stored classifier's training, without its weights.

        Raises:
            ArtifactError: files that are missing or damaged.
        """
        return _read_spec(folder).history

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> TrainedClassifier:
        """Read what `save` wrote.

        Raises:
            ArtifactError: files that are missing, damaged, or do not belong together.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        spec = _read_spec(folder)
        data = _read(folder, _WEIGHTS)
        if spec.kind != _Spec.model_fields["kind"].default:
            raise errors.ArtifactError(f"{folder} holds a {spec.kind!r}, which this version cannot read")
        if digests.of_bytes(data) != spec.weights:
            raise errors.ArtifactError(f"{folder / _WEIGHTS} does not hold the bytes that were written")
        unset = (0.0,) * spec.channels
        try:
            networks = [
                build(
                    spec.config,
                    channels=spec.channels,
                    size=spec.size,
                    classes=spec.classes,
                    seed=0,
                    mean=unset,
                    std=unset,
                    fetch=False,
                )
                for _ in range(spec.members)
            ]
            model = networks[0] if spec.members == 1 else Ensemble(networks)
            unshifted = {"prior_shift": torch.zeros(len(spec.classes))}  # what earlier versions did not store
            model.load_state_dict(unshifted | load(data))
        except (errors.UserError, SafetensorError, RuntimeError, MemoryError, TypeError) as error:
            words = " ".join(str(error).split())[:_SHOWN]
            raise errors.ArtifactError(f"{folder}: the weights do not fit their description ({words})") from error
        model.to(device).eval()
        return cls(model, spec.config, spec.classes, spec.channels, spec.size, spec.history)


def _read_spec(folder: Path) -> _Spec:
    try:
        return _Spec.model_validate_json(_read(folder, _SPEC))
    except ValidationError as error:
        raise errors.ArtifactError(f"{folder} holds no readable classifier ({_SPEC} is damaged)") from error


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise errors.ArtifactError(f"{folder} holds no readable classifier ({name}: {reason})") from error
