"""The classifier of all arms: candidates are trained on parts of the real training and validation images, and judged on
the others; the test images are not looked at."""

from collections.abc import Sequence
from math import ceil

import numpy as np
import torch

from synaug_core import errors, refs, seeds
from synaug_core.classify import budget, ensemble
from synaug_core.classify.training import TrainingJob
from synaug_core.config import STANDARD_ARMS, ClassifierConfig
from synaug_core.config.selection import CANDIDATES
from synaug_core.data import imageset
from synaug_core.evaluate import scorer
from synaug_core.evaluate.predictions import Predictions
from synaug_core.quality.judge import assign_folds
from synaug_core.services.mlflow.tags import ArtifactPath, Tag
from tasks.engine import machine, recording, storage
from tasks.engine.context import Context
from tasks.engine.step import action, step
from tasks.training import predict_images

__all__ = ["choose_classifier", "count_parts", "rank_candidates", "try_part"]

_FOLDS = 5
_ENOUGH = 50
"""Validation images of each class that judge alone."""
RECIPE = STANDARD_ARMS["control"]
"""How candidates are trained: the recipe that arms with synthetic images have too."""


def count_parts(dataset: refs.DatasetRef, parts: int) -> tuple[int, int]:
    """On how many parts of the images all candidates are judged, and on how many the best half of them."""
    if _is_judged_by_validation(dataset):
        return 1, 1
    return ceil(parts / 3), parts


@step
def try_part(context: Context, candidate: str, config: ClassifierConfig, part: int) -> refs.SelectionPart:
    """Train a candidate without a part of the images, and predict these. All candidates have the same parts.

    One that cannot be trained, for want of its weights or because it diverges, is out, and the others go on.
    """
    saved, name = recording.checkpoint(), f"{candidate} {part}"
    predictions: refs.PredictionsRef | None = None
    reason = ""
    with (
        recording.recorded("candidate", f"{candidate}, part {part}", context.run) as recorder,
        machine.device_slot(context.compute) as device,
    ):
        train, val, judged = divide_part(context, part)
        resolved = budget.resolve_steps(config, (RECIPE,), train.counts())
        try:
            classifier = ensemble.train_arm(
                TrainingJob(
                    resolved,
                    RECIPE,
                    train,
                    val,
                    init_seed=seeds.derive(context.seed, "init", "selection", part),
                    batch_seed=seeds.derive(context.seed, "batches", "selection", part),
                    device=device,
                    precision=context.compute.precision,
                    progress=recording.progress("selection", name),
                    checkpoint=saved,
                    deadline=context.compute.deadline,
                )
            )
        except (errors.WeightsError, errors.DivergenceError, errors.ConfigError) as error:
            reason = str(error)
            recorder.tags({Tag.OUTCOME: type(error).__name__, Tag.REASON: reason})
        else:
            predicted = predict_images(classifier, judged, device)
            recorder.params(resolved.model_dump() | {"candidate": candidate, "part": part, "images": len(train)})
            recorder.metrics(
                {f"val/{metric}": v for metric, v in scorer.scores(predicted).items() if "/" not in metric}
            )
            predictions = storage.store_predictions(recorder, predicted, ArtifactPath.VALIDATION_PREDICTIONS)
        result = refs.SelectionPart(
            candidate=candidate, part=part, predictions=predictions, reason=reason, run_id=recorder.run.run_id
        )
    saved.clear()
    return result


@action
def rank_candidates(results: tuple[refs.SelectionPart, ...]) -> tuple[refs.Standing, ...]:
    """The candidates, the best first: by balanced accuracy on all images that they predicted, of equals by macro-AUC,
    of equals in their order."""
    names = dict.fromkeys(result.candidate for result in results)
    standings = [measure_standing(name, [r for r in results if r.candidate == name]) for name in names]
    return tuple(sorted(standings, key=lambda standing: standing.place))


@step
def choose_classifier(context: Context, results: tuple[refs.SelectionPart, ...]) -> refs.SelectionRef:
    """Choose the best of the candidates, and record how each did.

    Raises:
        WeightsError: none could be trained.
    """
    standings = rank_candidates.fn(results)
    first = standings[0]
    if first.balanced_accuracy is None:
        raise errors.WeightsError(f"selection: no candidate could be trained ({first.title}: {first.reason})")
    with recording.recorded("selection", f"classifier: {first.candidate}", context.run) as recorder:
        recorder.params({"classifier": first.candidate, "candidates": ", ".join(s.candidate for s in standings)})
        for standing in standings:
            recorder.metrics({f"val/balanced_accuracy/{standing.candidate}": standing.balanced_accuracy})
            recorder.metrics({f"val/macro_auc/{standing.candidate}": standing.macro_auc})
        recorder.json([standing.model_dump(mode="json") for standing in standings], "selection.json")
        return refs.SelectionRef(candidate=first.candidate, standings=standings, run_id=recorder.run.run_id)


def divide_part(context: Context, part: int) -> tuple[imageset.ImageSet, imageset.ImageSet, imageset.ImageSet]:
    """What a candidate trains on, what it chooses its weights by, and what it is judged on, without images in common.

    Where validation images are many these choose and judge, as they do for the arms; else all images of training and
    validation are divided into five parts, whole groups of them, of which one judges and the next one chooses.
    """
    dataset = context.dataset
    train, val = storage.load_images(dataset.train), storage.load_images(dataset.val)
    if _is_judged_by_validation(dataset):
        return train, val, val
    images = imageset.concatenate([train, val]) if len(val) else train
    fold_of = assign_folds(images, _FOLDS, seeds.derive(context.seed, "selection"))
    fold = torch.tensor([fold_of[name] for name in images.ids])
    judging, choosing = fold == part % _FOLDS, fold == (part + 1) % _FOLDS
    return images.take(~judging & ~choosing), images.take(choosing), images.take(judging)


def measure_standing(name: str, results: Sequence[refs.SelectionPart]) -> refs.Standing:
    """How a candidate did on all parts that it was judged on."""
    title, reason = CANDIDATES[name].title, next((r.reason for r in results if r.predictions is None), "")
    parts = [storage.load_predictions(r.predictions) for r in results if r.predictions is not None]
    if reason or not parts:
        return refs.Standing(candidate=name, title=title, parts=len(parts), images=0, reason=reason)
    pooled = Predictions(
        ids=tuple(name for part in parts for name in part.ids),
        labels=np.concatenate([part.labels for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        classes=parts[0].classes,
    )
    values = scorer.scores(pooled)
    return refs.Standing(
        candidate=name,
        title=title,
        parts=len(parts),
        images=len(pooled),
        balanced_accuracy=values["balanced_accuracy"],
        standard_error=_standard_error(pooled),
        macro_auc=values.get("macro_auc"),
    )


def _standard_error(predictions: Predictions) -> float:
    """Of balanced accuracy, for the choice of the images: each class's recall is a binomial share."""
    confusion = scorer.confusion(predictions)
    support = confusion.sum(axis=1)
    recall = confusion.diagonal()[support > 0] / support[support > 0]
    return float(np.sqrt((recall * (1 - recall) / support[support > 0]).sum()) / len(recall))


def _is_judged_by_validation(dataset: refs.DatasetRef) -> bool:
    return min(dataset.val.counts[c] for c in dataset.classes) >= _ENOUGH
