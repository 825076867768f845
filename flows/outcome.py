"""What a retraining comes to, for people and for scripts."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from pydantic import Field

from flows.images import ArmImages
from flows.stages import Account
from synaug_core import frozen, refs, vocabulary
from synaug_core.evaluate import contrast, results

__all__ = ["DatasetFacts", "ImagesFacts", "ModelFacts", "Outcome", "build_outcome"]


class DatasetFacts(frozen.Frozen):
    """The images that went in."""

    name: str
    digest: str
    classes: tuple[str, ...]
    train: dict[str, int]
    test: dict[str, int]
    rejected: int


class ModelFacts(frozen.Frozen):
    """The registered model."""

    name: str
    version: str
    alias: vocabulary.Alias | None
    arm: str = ""
    """Whose model it is."""


class ImagesFacts(frozen.Frozen, validate_by_name=True, serialize_by_alias=True):
    """The synthetic images of an arm."""

    planned: int = Field(alias="wanted")
    images: int
    seconds_per_1000: float
    quality: dict[str, float]
    """Means over the classes of the figures that are defined: kid, coverage, agreement, ...; empty: not judged."""


class Outcome(frozen.Frozen):
    """The result of one retraining; its JSON is what `synaug run --json` writes."""

    run_id: str
    tracking_uri: str
    experiment: str
    dataset: DatasetFacts
    arms: dict[str, dict[str, dict[str, float]]]
    """arm -> metric, named as in MLflow -> mean, low, high"""
    synthetic: dict[str, ImagesFacts]
    """arm -> its synthetic images, and how good they are"""
    training_images: dict[str, dict[str, dict[str, float]]]
    """arm -> real, synthetic -> class -> images that its trainings really used, the mean over them"""
    contrasts: tuple[contrast.Contrast, ...]
    """What decides, first; then the other endpoints, and every synthetic arm against its hardest control."""
    against_controls: tuple[contrast.Contrast, ...]
    """The judged arm against every control: a gain has to be shown over each."""
    against_original: contrast.Contrast | None
    """The judged arm against the real images as they are: the second declared comparison."""
    waterfall: tuple[contrast.Contrast, ...]
    """From `original` to the judged arm, step by step."""
    positive_control: tuple[contrast.Contrast, ...]
    """Real images in the synthetic ones' place, against the hardest control."""
    best_arm: str
    verdict: results.Verdict
    sentence: str
    model: ModelFacts | None
    promotion: str | None
    """Why the model became champion, or why not."""
    notes: tuple[str, ...]
    """What the user should know: models that diverged or collapsed, plans that were not filled."""
    steps: int
    cached_steps: int
    seconds: dict[str, float]
    comparison_page: str | None
    comparison: results.Comparison | None = Field(default=None, exclude=True)
    """The whole comparison, for callers in the same process."""


def build_outcome(
    dataset: refs.DatasetRef,
    comparison: results.Comparison,
    page: str,
    registered: refs.RegisteredRef | None,
    synthetic: Sequence[Mapping[str, ArmImages]],
    notes: tuple[str, ...],
    run: refs.RunRef,
    account: Account,
) -> Outcome:
    """Put together what the steps returned; `synthetic` has an entry for each division of the images."""
    return Outcome(
        run_id=run.run_id,
        tracking_uri=run.tracking_uri,
        experiment=run.experiment,
        dataset=DatasetFacts(
            name=dataset.name,
            digest=dataset.digest,
            classes=dataset.classes,
            train=dataset.train.counts,
            test=dataset.test.counts,
            rejected=dataset.rejected,
        ),
        arms={
            arm: {f"test/{metric}": interval.model_dump() for metric, interval in result.metrics.items()}
            for arm, result in comparison.arms.items()
        },
        synthetic={
            arm: _facts([parts[arm] for parts in synthetic if arm in parts])
            for arm in dict.fromkeys(arm for parts in synthetic for arm in parts)
        },
        training_images={
            arm: {"real": result.real_images, "synthetic": result.synthetic_images}
            for arm, result in comparison.arms.items()
        },
        contrasts=(*comparison.contrasts, *comparison.family),
        against_controls=comparison.against_controls,
        against_original=comparison.against_original,
        waterfall=comparison.waterfall,
        positive_control=comparison.positive_control,
        best_arm=comparison.best_arm,
        verdict=comparison.verdict,
        sentence=comparison.sentence,
        model=ModelFacts(name=registered.name, version=registered.version, alias=registered.alias, arm=registered.arm)
        if registered
        else None,
        promotion=registered.reason if registered else None,
        notes=notes,
        steps=account.steps,
        cached_steps=account.cached_steps,
        seconds=account.seconds,
        comparison_page=page,
        comparison=comparison,
    )


def _facts(divisions: Sequence[ArmImages]) -> ImagesFacts:
    """The images of all divisions, and the means over them of what the judge found."""
    synthetic = [reference for division in divisions for reference in division.synthetic]
    images = sum(reference.images for reference in synthetic)
    judged = [division.quality.overall for division in divisions if division.quality is not None]
    names = dict.fromkeys(name for overall in judged for name in overall)
    return ImagesFacts(
        planned=sum(reference.planned for reference in synthetic),
        images=images,
        seconds_per_1000=1000 * sum(reference.seconds for reference in synthetic) / max(1, images),
        quality={name: fmean(o[name] for o in judged if name in o) for name in names},
    )
