"""The answer: whether synthetic images helped, what that means for the rarest class, and what to do now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from synaug_core.evaluate import proportions
from synaug_core.evaluate.results import judged_arm, recall_changes
from synaug_core.evaluate.sentence import MINUS, percent_text, points
from synaug_core.metrics import METRICS
from synaug_core.report.words import metric_name, number, percent, plain

if TYPE_CHECKING:
    from synaug_core.evaluate.contrast import Contrast
    from synaug_core.evaluate.intervals import Interval
    from synaug_core.evaluate.results import Comparison
    from synaug_core.refs import SyntheticRef

__all__ = ["WHAT_AN_ARM_IS", "Answer", "SyntheticCounts", "count_synthetic", "is_worse", "synthetic_arm"]

WHAT_AN_ARM_IS = (
    "An arm is one way of training the classifier: on which images, real or synthetic, drawn and varied how. A control "
    "is an arm with real images alone."
)
_NARROW = 0.1
"""Half the width of an interval from which a share says something."""
_OF_INTEREST = 0.05
"""A gain that is worth more test images."""
_PER = 10
"""Real images for which their worth is stated."""


@dataclass(frozen=True)
class SyntheticCounts:
    """Synthetic images of an arm by class: how many its plan asked for, and how many of them passed the filters."""

    planned: Mapping[str, int]
    passed: Mapping[str, int]

    def sentence(self, class_name: str) -> str:
        """How many passed, of one class and of all."""
        planned, passed = self.planned.get(class_name, 0), self.passed.get(class_name, 0)
        all_planned, all_passed = sum(self.planned.values()), sum(self.passed.values())
        if not planned:
            return f"{number(all_passed)} of {number(all_planned)} planned synthetic images passed the filters."
        text = (
            f"{number(passed)} of {number(planned)} planned synthetic images of {plain(class_name)} passed the filters"
        )
        return f"{text} ({number(all_passed)} of {number(all_planned)} of all classes)."


def count_synthetic(synthetic: Mapping[str, Sequence[SyntheticRef]]) -> dict[str, SyntheticCounts]:
    """Count the images of each arm that has any."""
    image_counts = {}
    for arm, references in synthetic.items():
        planned: dict[str, int] = {}
        passed: dict[str, int] = {}
        for reference in references:
            for counts, of_reference in ((planned, reference.planned_counts), (passed, reference.counts)):
                for name, count in of_reference.items():
                    counts[name] = counts.get(name, 0) + count
        if sum(planned.values()):
            image_counts[arm] = SyntheticCounts(planned, passed)
    return image_counts


@dataclass(frozen=True)
class Answer:
    """What stands first on the page and last in the terminal, whole sentences each.

    Attributes:
        kind: `yes`; `no`; or `worse` where the whole interval lies below 0.
        verdict: the verdict's words, `No gain shown:`.
        evidence: the rest of its sentence.
        rare: what is found of the rarest class, beside the figure of all classes.
        advice: what to do now, the most important first.
        passed: how many of the planned synthetic images passed the filters; empty where none were planned.
    """

    kind: Literal["yes", "no", "worse"]
    verdict: str
    evidence: str
    rare: str
    advice: tuple[str, ...]
    passed: str = ""

    @classmethod
    def from_comparison(
        cls, comparison: Comparison, image_counts: Mapping[str, SyntheticCounts] | None = None
    ) -> Answer:
        """Put it together from a comparison and the images of its arms."""
        head, colon, remainder = comparison.sentence.partition(": ")
        images = (image_counts or {}).get(synthetic_arm(comparison, image_counts or {}) or "")
        return cls(
            kind="yes" if comparison.verdict == "gain" else "worse" if is_worse(comparison) else "no",
            verdict=head + colon.rstrip(),
            evidence=remainder,
            rare=_of_the_rarest_class(comparison),
            advice=tuple(_advice(comparison)),
            passed=images.sentence(comparison.rarest_class) if images else "",
        )


def synthetic_arm(comparison: Comparison, image_counts: Mapping[str, SyntheticCounts]) -> str | None:
    """The arm whose synthetic images are shown: the judged one, or the first that has any; None: none has."""
    judged_name = judged_arm(comparison) or comparison.best_synthetic
    return judged_name if judged_name in image_counts else next(iter(image_counts), None)


def is_worse(comparison: Comparison) -> bool:
    """Whether the interval of the contrast that decides lies below 0: the synthetic images cost something."""
    return bool(comparison.contrasts) and comparison.contrasts[0].difference.high < 0


def _of_the_rarest_class(c: Comparison) -> str:
    chosen, judged_name = c.chosen_arm, judged_arm(c)
    images, training = c.test_counts[c.rarest_class], c.train_counts.get(c.rarest_class, 0)
    counts = f"{number(images)} test image{'s' * (images != 1)}, {number(training)} in training"
    recall, overall = _rare_and_overall(c, chosen)
    text = f"The model to keep, {plain(chosen)}, finds on average {_share(recall)} of {plain(c.rarest_class)}"
    text += f", the rarest class ({_interval(recall, percent_text(c.confidence))}{counts})"
    text += f", and its balanced accuracy over all classes is {_share(overall)}"
    if overall is not None:
        text += f" ({_interval(overall).removesuffix('; ')})"
    if judged_name is not None and judged_name != chosen:
        rare, whole = _rare_and_overall(c, judged_name)
        text += f"; with synthetic images, {plain(judged_name)} comes to {_share(rare)} and {_share(whole)}"
    return f"{text}."


def _rare_and_overall(c: Comparison, arm: str) -> tuple[Interval | None, Interval | None]:
    metrics = c.arms[arm].metrics
    return metrics.get(c.key_of(METRICS["rarest_recall"])), metrics.get("balanced_accuracy")


def _share(interval: Interval | None) -> str:
    return "an unknown share" if interval is None else f"{percent(interval.mean)} %"


def _interval(interval: Interval | None, level: str = "") -> str:
    if interval is None:
        return ""
    return f"{level}{' interval ' * bool(level)}{percent(interval.low)} to {percent(interval.high)} %; "


def _advice(c: Comparison) -> Iterator[str]:
    chosen = plain(c.chosen_arm)
    reason = c.choice.reason if c.choice is not None else "it did best on the validation images"
    yield f"Keep {chosen}: {reason}."
    if c.contrasts:
        yield _on_synthetic_images(c, c.contrasts[0])
    if c.positive_control:
        yield _on_real_images(c, c.positive_control[0])
    else:
        yield from _on_further_images(c)
    yield from _on_the_rarest_class(c)
    yield from _on_smaller_gains(c)


def _on_synthetic_images(c: Comparison, d: Contrast) -> str:
    arm, against = plain(d.arm), plain(d.against)
    size, over = _size(d.difference.mean), "above" if d.difference.mean > 0 else "below"
    evidence = f"{percent_text(c.confidence)} interval {points(d.difference.low)} to {points(d.difference.high)}"
    by_metric = metric_name(d.metric)
    if c.verdict == "gain":
        text = f"Use the synthetic images of {arm}: they brought {size} of {by_metric} over {against} ({evidence})"
    elif is_worse(c):
        text = (
            f"Leave the synthetic images of {arm} out: they cost {size} of {by_metric} against {against} ({evidence})"
        )
    else:
        text = f"Train without synthetic images for now: with them, {arm} is {size} of {by_metric} {over} {against}"
        text += f", which may be chance ({evidence})"
    if (change := recall_changes(c, d.arm).get(c.rarest_class)) is not None:
        text += f"; of {plain(c.rarest_class)} it finds {_compared(change, plain(c.best_control or ''))}"
    return f"{text}."


def _compared(change: Interval, control: str) -> str:
    """`2.1 points less than control (−30.0 to +20.0)`."""
    interval = f"({points(change.low)} to {points(change.high)})"
    if points(change.mean) == "0.0":
        return f"as many as {control} {interval}"
    return f"{_size(change.mean)} {'more' if change.mean > 0 else 'less'} than {control} {interval}"


def _on_real_images(c: Comparison, oracle: Contrast) -> str:
    """What real images in the synthetic ones' place brought, and how many of them the synthetic ones were worth."""
    images = sum(c.arms[oracle.arm].synthetic_images.values())
    d = oracle.difference
    text = f"Collect real images: {number(images)} more of them in the synthetic ones' place brought "
    text += f"{points(d.mean)} points of {metric_name(oracle.metric)} over {plain(oracle.against)} "
    text += f"({percent_text(c.confidence)} interval {points(d.low)} to {points(d.high)})"
    if not images or d.mean <= 0:
        return f"{text}."
    text += f", about {points(_PER * d.mean / images)} for every {_PER}"
    judged_name = judged_arm(c)
    same = next((f for f in c.family if f.arm == judged_name and f.metric == oracle.metric), None)
    if same is not None:
        worth = max(0.0, images * same.difference.mean / d.mean)
        count = sum(c.arms[same.arm].synthetic_images.values())
        worth_text = f"about {number(worth)}" if round(worth) else "none"
        text += f"; at this rate the {number(count)} synthetic images of {plain(same.arm)} were worth {worth_text}"
    return f"{text}."


def _on_further_images(c: Comparison) -> Iterator[str]:
    """How many real images the rarest class lacks, and how to find out what they would bring."""
    largest = max(c.classes, key=lambda name: c.train_counts[name])
    training, most = c.train_counts[c.rarest_class], c.train_counts[largest]
    if most > training:
        yield (
            f"Collect real images of {plain(c.rarest_class)}: it has {number(training)} in training, and with "
            f"{number(most - training)} more it would have as many as {plain(largest)}; what such images bring, "
            "a sweep over data.per_class shows (synaug sweep)."
        )


def _on_the_rarest_class(c: Comparison) -> Iterator[str]:
    recall, _ = _rare_and_overall(c, c.chosen_arm)
    images = c.test_counts[c.rarest_class]
    if recall is None or recall.high - recall.low <= 2 * _NARROW:
        return
    needed = proportions.images_for_width(recall.mean, _NARROW, c.confidence)
    if needed > images:
        yield (
            f"Set more images of {plain(c.rarest_class)} aside for testing: to know how many of them are found to "
            f"within {_size(_NARROW)} takes {number(needed)} or more, and there are {number(images)}."
        )


def _on_smaller_gains(c: Comparison) -> Iterator[str]:
    """What a gain would take that this run could not have seen."""
    if (power := c.power) is None or c.verdict == "gain" or is_worse(c):
        return
    if power.detectable is None:
        yield "With so few repetitions no gain can be shown: raise `repetitions` to 6 or more."
        return
    wish = next((need for need in power.wished if need.gain == _OF_INTEREST), None)
    if wish is None or power.detectable <= wish.gain:
        return
    ways = [f"about {number(wish.images)} test images (there are {number(power.images)})"] if wish.images else []
    if wish.repetitions:
        ways.append(f"{number(wish.repetitions)} repetitions (there are {number(power.repetitions)})")
    takes = f"takes {' or '.join(ways)}" if ways else "takes more of both, repetitions and test images"
    yield (
        f"A true gain of less than {_size(power.detectable)} was probably not to be seen here; to see one of "
        f"{_size(wish.gain)} {takes}."
    )


def _size(share: float) -> str:
    text = points(share).lstrip(f"+{MINUS}").removesuffix(".0")
    return f"{text} point{'s' * (text != '1')}"
