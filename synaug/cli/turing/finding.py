"""From what the user calls a run to the real and the synthetic images of a test, and the run its result belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synaug.cli import stored
from synaug_core.errors import UserError
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from synaug_core.data.imageset import ImageSet
    from synaug_core.refs import RunRef
    from synaug_core.turing.design import Item

__all__ = ["JudgedImages", "find"]

_VALIDATION = "val/balanced_accuracy"
_SYNTHESIS = "synthesis."


@dataclass(frozen=True)
class JudgedImages:
    """What a test is about.

    Attributes:
        run: the run its result belongs to: the synthesis run, or the arm's.
        name: the data set, and the images' name.
        train: the training images that the generator knew.
        synthetic_images: the synthetic images.
    """

    run: RunRef
    name: str
    train: ImageSet
    synthetic_images: ImageSet

    def pixels(self, item: Item) -> Tensor:
        """The uint8 image (channels, side, side) of an item of the test."""
        return (self.synthetic_images if item.synthetic else self.train).images[item.row]


def find(settings: Settings, text: str, arm: str | None = None) -> JudgedImages:
    """The images behind a synthesis run, an arm, a fold, or a whole retraining.

    Args:
        settings: the store.
        text: a run's id, or its beginning.
        arm: of a retraining: whose images; default: of the arms with synthetic images that are no controls the
            one that was best on the validation images. Of a cross-validation those of the first fold are taken.

    Raises:
        UserError: there is no such run or arm, or it has no synthetic images.
        ArtifactError: images are missing or damaged.
    """
    from synaug_core.data.imageset import concatenate
    from synaug_core.services.mlflow import clients, tracking

    mlflow = clients.client(settings)
    run = stored.find_run(mlflow, text)
    stage = run.data.tags.get(Tag.STAGE, "")
    if stage == "synthesis":
        if arm is not None:
            raise UserError(f"--arm: {text} is a synthesis run, one set of images; give the id of the retraining")
        target, above, synthesis_runs = run, _belonging(mlflow, run), [run]
    elif stage in ("retrain", "fold", "arm"):
        top = run if stage == "retrain" else _belonging(mlflow, run)[-1]
        target = run if stage == "arm" and arm is None else _arm(mlflow, top, text, arm)
        inner = run if stage == "fold" else next(stored.below(mlflow, top, "fold"), top)
        above, synthesis_runs = [inner, top], _syntheses(mlflow, inner, target)
    else:
        raise UserError(f"{text} is {_a(stage or 'foreign')} run; give a synthesis run, an arm or a retraining")
    sets = [_images(settings, mlflow, source, "images/synthetic.parquet") for source in synthesis_runs]
    images = concatenate([synthetic for synthetic in sets if len(synthetic)]) if any(map(len, sets)) else None
    if images is None:
        raise UserError(f"{text} has no synthetic images: none was asked for, or none passed the filters")
    name = run.data.tags.get(Tag.DATASET) or above[-1].info.run_name
    called = f"{name}: {target.info.run_name}"
    return JudgedImages(
        tracking.run_ref(settings, target.info.run_id), called, _training_images(settings, mlflow, above), images
    )


def _belonging(mlflow: Any, run: Any) -> list[Any]:
    """The runs above a run, at least one."""
    if not (ancestors := stored.above(mlflow, run)):
        raise UserError(f"{run.info.run_id} belongs to no retraining, so its training images are not known")
    return ancestors


def _arm(mlflow: Any, top: Any, text: str, name: str | None) -> Any:
    """The arm of that name, or the best one that has synthetic images."""
    arms = {run.data.tags.get(Tag.ARM, run.info.run_name): run for run in stored.below(mlflow, top, "arm")}
    having = [n for n, run in arms.items() if _synthesis_parameters(run)]
    if not having:
        raise UserError(f"{text} has no arm with synthetic images that is done; give the id of a synthesis run")
    if name is None:
        new = [n for n in having if not _is_control(arms[n])] or having
        return arms[max(new, key=lambda n: arms[n].data.metrics.get(_VALIDATION, -1.0))]
    if name not in having:
        what = "has no synthetic images" if name in arms else "is not there"
        raise UserError(f"--arm: {name!r} {what}; there are {', '.join(having)}")
    return arms[name]


def _synthesis_parameters(arm: Any) -> dict[str, str]:
    """The parameters of an arm's synthesis, as its own runs have them."""
    return {k.removeprefix(_SYNTHESIS): v for k, v in arm.data.params.items() if k.startswith(_SYNTHESIS)}


def _is_control(arm: Any) -> bool:
    """Copies and mixtures of real images are the last that anybody wants to be asked about."""
    from synaug_core.config.arms import CONTROL_STRATEGIES

    return _synthesis_parameters(arm).get("strategy") in CONTROL_STRATEGIES


def _syntheses(mlflow: Any, inner: Any, arm: Any) -> list[Any]:
    """The synthesis runs, one for each group of classes, that made an arm's images: those with its parameters."""
    parameters = _synthesis_parameters(arm)
    return [
        run
        for run in stored.below(mlflow, inner, "synthesis")
        if parameters and {k: v for k, v in run.data.params.items() if k != "classes"} == parameters
    ]


def _training_images(settings: Settings, mlflow: Any, above: Sequence[Any]) -> ImageSet:
    """Those of the fold or the retraining that a synthesis run lies below."""
    place = ""
    for run in above:
        if run.data.tags.get(Tag.STAGE) == "fold":
            place = f"{run.data.tags[Tag.KEY].replace('fold/', 'fold-')}/"
        for dataset in stored.below(mlflow, run, "dataset"):
            return _images(settings, mlflow, dataset, f"{place}images/train.parquet")
    raise UserError(f"the training images of {above[-1].info.run_id} are not in this store")


def _images(settings: Settings, mlflow: Any, run: Any, path: str) -> ImageSet:
    from synaug_core.data import parquet

    with stored.artifact(settings, mlflow, run, path) as file:
        return parquet.read(file)


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
