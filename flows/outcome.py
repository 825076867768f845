"""What a retraining comes to, for people and for scripts."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from pydantic import Field

from flows.images import ArmImages
from flows.stages import Account
from synaug_core import frozen, refs, vocabulary
from synaug_core.evaluate import contrast, results
from synaug_core.report.answer import Answer, count_synthetic

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
    by_class: dict[str, dict[str, int]]
    """class -> wanted, images"""
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
    rarest_class: str
    """What is found of the rarest class, beside the figure of all classes, in a sentence."""
    advice: tuple[str, ...]
    """What to do now, a sentence each."""
    passed: str
    """How many planned synthetic images passed the filters, in a sentence; empty where none were planned."""
    model: ModelFacts | None
    promotion: str | None
    """Why the model became champion, or why not."""
    worse_than_champion: bool
    """Whether the new model was compared with a champion and was worse by more than the tolerance."""
    notes: tuple[str, ...]
    """What the user should know: what the data check saw, models that diverged, plans that were not filled."""
    steps: int
    cached_steps: int
    seconds: dict[str, float]
    comparison_page: str | None
    compare_page: str
    """MLflow's page with the original, the best control and the best synthetic arm side by side, behind MLflow's
    address."""
    comparison: results.Comparison | None = Field(default=None, exclude=True)
    """The whole comparison, for callers in the same process."""

    def lines(self) -> tuple[str, ...]:
        """What a reader has to know, a sentence each: the notes, then the answer and what to do now."""
        answer = filter(None, (self.sentence, self.rarest_class, self.passed, self.promotion))
        return (*(f"Note: {note}" for note in self.notes), *answer, *(f"- {sentence}" for sentence in self.advice))


def build_outcome(
    dataset: refs.DatasetRef,
    comparison: results.Comparison,
    page: str,
    registered: refs.RegisteredRef | None,
    synthetic: Sequence[Mapping[str, ArmImages]],
    notes: tuple[str, ...],
    run: refs.RunRef,
    compare_page: str,
    account: Account,
) -> Outcome:
    """Put together what the steps returned; `synthetic` has an entry for each division of the images."""
    by_arm = {
        arm: [parts[arm] for parts in synthetic if arm in parts]
        for arm in dict.fromkeys(arm for parts in synthetic for arm in parts)
    }
    image_counts = count_synthetic(
        {arm: [ref for part in parts for ref in part.synthetic] for arm, parts in by_arm.items()}
    )
    answer = Answer.from_comparison(comparison, image_counts)
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
        synthetic={arm: _facts(parts) for arm, parts in by_arm.items()},
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
        rarest_class=answer.rare,
        advice=answer.advice,
        passed=answer.passed,
        model=ModelFacts(name=registered.name, version=registered.version, alias=registered.alias, arm=registered.arm)
        if registered
        else None,
        promotion=registered.reason if registered else None,
        worse_than_champion=registered is not None and registered.is_worse,
        notes=notes,
        steps=account.steps,
        cached_steps=account.cached_steps,
        seconds=account.seconds,
        comparison_page=page,
        compare_page=compare_page,
        comparison=comparison,
    )


def _facts(divisions: Sequence[ArmImages]) -> ImagesFacts:
    """The images of all divisions, and the means over them of what the judge found."""
    synthetic = [reference for division in divisions for reference in division.synthetic]
    images = sum(reference.images for reference in synthetic)
    image_counts = count_synthetic({"": synthetic}).get("")
    judged = [division.quality.overall for division in divisions if division.quality is not None]
    names = dict.fromkeys(name for overall in judged for name in overall)
    return ImagesFacts(
        planned=sum(reference.planned for reference in synthetic),
        images=images,
        by_class={c: {"wanted": n, "images": image_counts.passed.get(c, 0)} for c, n in image_counts.planned.items()}
        if image_counts
        else {},
        seconds_per_1000=1000 * sum(reference.seconds for reference in synthetic) / max(1, images),
        quality={name: fmean(o[name] for o in judged if name in o) for name in names},
    )
