"""What a comparison says, as stored: its arms, its contrasts, its verdict, and what can be read from them."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from math import hypot
from typing import Annotated, Literal

from pydantic import AliasChoices, Field

from synaug_core import frozen, names
from synaug_core.config import PrimaryConfig
from synaug_core.evaluate import contrast, proportions
from synaug_core.evaluate.choice import Choice
from synaug_core.evaluate.intervals import Finite, Interval
from synaug_core.evaluate.power import Power
from synaug_core.evaluate.reliability import ConfidenceBins, Reliability
from synaug_core.evaluate.sentence import design_text
from synaug_core.metrics import Metric

__all__ = ["ArmResult", "Comparison", "Verdict", "by_rarity", "judged_arm", "rarest", "recall_changes", "shown_arms"]


def by_rarity(classes: Iterable[str], train: Mapping[str, int], test: Mapping[str, int]) -> tuple[str, ...]:
    """The classes from the fewest training images to the most; equals by their test images, then as they stand.

    Where training images were thinned to one number, the test part still shows what is rare in the source.
    """
    return tuple(sorted(classes, key=lambda c: (train.get(c, 0), test.get(c, 0))))


def rarest(train: Mapping[str, int], test: Mapping[str, int]) -> str:
    """The first by rarity of the classes that have test images.

    Raises:
        ValueError: no test image.
    """
    if tested := by_rarity((c for c, n in test.items() if n), train, test):
        return tested[0]
    raise ValueError("no class has test images")


Verdict = Literal["gain", "no gain shown"]


class ArmResult(frozen.Frozen):
    """One arm on the test images."""

    metrics: dict[str, Interval]
    """Mean over repetitions (in cross-validation: over every fold of each) with its interval; names as in `scores`."""
    confusion: tuple[tuple[int, ...], ...]
    """Rows are true classes; summed over repetitions."""
    calibration: ConfidenceBins
    validation: Finite
    """Mean balanced accuracy on the validation images: what arms are chosen by."""
    is_control: bool
    """True for an arm that a gain has to beat."""
    is_positive_control: bool = False
    """True for an arm with real images in the synthetic ones' place: neither a control nor able to show a gain."""
    repetitions: int
    """Trainings; in cross-validation folds times repetitions."""
    real_images: dict[str, Finite] = Field(default_factory=dict)
    """Real training images of each class, the mean over the trainings; empty where an earlier version trained."""
    synthetic_images: dict[str, Finite] = Field(default_factory=dict)
    """Those that were really added to them beforehand, likewise."""


class Comparison(frozen.Frozen):
    """All arms on the same test images. Everything is computed from predictions."""

    classes: tuple[str, ...]
    arms: dict[str, ArmResult]
    train_counts: dict[str, int]
    """Real training images of each class."""
    test_counts: dict[str, int]
    """Test images of each class; in cross-validation each image counts once."""
    rarest_class: str
    """First of `by_rarity`, among the classes that have test images."""
    confidence: float
    best_arm: str
    """Highest validation score of all arms; the test images have no part in it (in cross-validation, each image
    validates in some folds and tests in another). So for the next two."""
    best_control: str | None
    best_synthetic: str | None
    contrasts: tuple[contrast.Contrast, ...]
    """The declared synthetic arm, or else the best, against the control that is hardest to beat, on each endpoint; the
    verdict rests on the first alone."""
    against_controls: tuple[contrast.Contrast, ...] = ()
    """That arm against every control on the first endpoint: a gain has to be shown over each of them."""
    against_original: contrast.Contrast | None = None
    """That arm against `original`, the real images as they are: declared as second in a fixed order."""
    waterfall: tuple[contrast.Contrast, ...] = ()
    """From `original` over `balanced` and `control` to the judged arm, as far as these arms are there: each against the
    one before it, on the first endpoint."""
    positive_control: tuple[contrast.Contrast, ...] = ()
    """Each arm with real images in the synthetic ones' place, against its hardest control."""
    family: Annotated[
        tuple[contrast.Contrast, ...],
        Field(validation_alias=AliasChoices("family", "others"), serialization_alias="others"),
    ]
    """Every synthetic arm against its hardest control on the first endpoint, Holm-adjusted: for information."""
    verdict: Verdict
    sentence: str
    """What it means."""
    folds: int | None = None
    """Folds of the cross-validation; None: one test part, the same for all repetitions."""
    primary: PrimaryConfig = PrimaryConfig()
    """The contrast that was declared before the run."""
    mcnemar: tuple[proportions.Discordance, ...] = ()
    """The models of the first contrast pair by pair, where they share their test images: for information."""
    power: Power | None = None
    """What the design of the first contrast can show: for information."""
    reliability: dict[str, Reliability] = Field(default_factory=dict)
    """Arm -> how far its probabilities can be trusted, and what a threshold chosen on validation images gives."""
    choice: Choice | None = None
    """The arm whose model is worth registering, and why: common sense, where `best_arm` is the highest figure."""
    remarks: tuple[str, ...] = ()
    """What is odd about the trainings."""

    @property
    def hardest_control(self) -> str | None:
        """The control that the judged arm has the most trouble to beat on the first endpoint; None without a
        contrast."""
        return self.contrasts[0].against if self.contrasts else None

    @property
    def design(self) -> str:
        """The design in words: `6 repetitions`, `5-fold cross-validation repeated 2 times`."""
        return design_text(self.repetitions, self.folds)

    @property
    def repetitions(self) -> int:
        """Trainings of each arm; in cross-validation folds times repetitions."""
        return max(result.repetitions for result in self.arms.values())

    def slug(self, class_name: str) -> str:
        """The class's name inside metric names."""
        return self._slugs[class_name]

    def key_of(self, metric: Metric) -> str:
        """Return the key of a metric in an arm's `metrics`; those of the rarest class have none of their own."""
        rarest = f"class/{self.slug(self.rarest_class)}/{metric.of_rarest_class}"
        return rarest if metric.of_rarest_class else metric.name

    def flat_metrics(self, arm: str) -> dict[str, float]:
        """Map MLflow names to an arm's values, each with `/low` and `/high`; what is undefined is left out."""
        intervals: dict[str, Interval | None] = dict(self.arms[arm].metrics)
        flat = {"val/balanced_accuracy": self.arms[arm].validation}
        if (reliability := self.reliability.get(arm)) is not None:
            flat |= {f"test/{name}": value for name, value in reliability.metrics().items()}
            for name, point in reliability.points.items():
                intervals[f"class/{self.slug(name)}/recall_at_precision"] = point.recall
                intervals[f"class/{self.slug(name)}/precision_at_precision"] = point.precision
        for name, interval in intervals.items():
            if interval is not None:
                for ending, value in (("", interval.mean), ("/low", interval.low), ("/high", interval.high)):
                    flat[f"test/{name}{ending}"] = value
        return flat

    @property
    def chosen_arm(self) -> str:
        """The arm to keep: the one whose model is worth registering, or else the best on the validation images."""
        return self.choice.arm if self.choice is not None else self.best_arm

    def headline(self) -> dict[str, float]:
        """Map MLflow names to the few figures by which retrainings are compared: the chosen arm's balanced accuracy,
        macro-AUC and recall of the rarest class, and the difference that decides, each with its bounds."""
        keys = ("balanced_accuracy", "macro_auc", f"class/{self.slug(self.rarest_class)}/recall")
        figures = self.arms[self.chosen_arm].metrics
        named = {f"test/{key}": figures[key] for key in keys if key in figures}
        named |= {f"difference/{c.metric}": c.difference for c in self.contrasts[:1]}
        endings = ("", "/low", "/high")
        return {
            f"{name}{ending}": value
            for name, interval in named.items()
            for ending, value in zip(endings, (interval.mean, interval.low, interval.high), strict=True)
        }

    def difference_metrics(self) -> dict[str, float]:
        """Map MLflow names to the differences of the contrasts, each with `/low`, `/high` and `/p`."""
        original = (self.against_original,) if self.against_original else ()
        flat: dict[str, float] = {}
        for c in (*self.contrasts, *self.against_controls, *original, *self.waterfall, *self.positive_control):
            name, d = f"difference/{c.metric}/{c.arm}-{c.against}", c.difference
            flat |= {name: d.mean, f"{name}/low": d.low, f"{name}/high": d.high, f"{name}/p": c.p_value}
        return flat

    @cached_property
    def _slugs(self) -> dict[str, str]:
        return names.slugs(self.classes)

    @property
    def by_rarity(self) -> tuple[str, ...]:
        """Classes from the fewest training images to the most; equals by their test images, then in class order."""
        return by_rarity(self.classes, self.train_counts, self.test_counts)


def recall_changes(comparison: Comparison, arm: str) -> dict[str, Interval]:
    """Recall of each class in an arm minus that in the best control, with an interval, the rarest class first.

    The interval is put together from the two arms' own ones as if the arms were independent (Zou and Donner,
    Statistics in Medicine 27, 2008). They share their test images, which usually makes it too wide.
    Classes without test images are left out; empty without a best control.
    """
    changes: dict[str, Interval] = {}
    control = comparison.best_control
    for name in comparison.by_rarity if control else ():
        key = f"class/{comparison.slug(name)}/recall"
        a, b = (comparison.arms[compared].metrics.get(key) for compared in (arm, control or ""))
        if a is not None and b is not None:
            mean = a.mean - b.mean
            low, high = hypot(a.mean - a.low, b.high - b.mean), hypot(a.high - a.mean, b.mean - b.low)
            changes[name] = Interval(mean=mean, low=mean - low, high=mean + high)
    return changes


def judged_arm(comparison: Comparison) -> str | None:
    """The synthetic arm that the verdict is about; None where there is none or no control to hold it against."""
    return comparison.contrasts[0].arm if comparison.contrasts else None


def shown_arms(comparison: Comparison) -> list[str]:
    """Where not all arms have room: the best control and the synthetic arm that the verdict is about, or the best
    synthetic arm where there is no verdict; the best arm where there is neither."""
    judged_name = judged_arm(comparison) or comparison.best_synthetic
    return [arm for arm in (comparison.best_control, judged_name) if arm] or [comparison.best_arm]
