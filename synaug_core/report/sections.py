"""What the page of a comparison says, part by part: sentences and table rows, without a word of HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from synaug_core.config.evaluation import BEST
from synaug_core.evaluate.sentence import against_original_text, positive_control_text, power_text
from synaug_core.metrics import METRICS, Place, shown_in
from synaug_core.report.answer import is_worse
from synaug_core.report.words import figure, keep_percent_on_line, metric_name, number, plain

if TYPE_CHECKING:
    from synaug_core.evaluate.contrast import Contrast
    from synaug_core.evaluate.results import Comparison

__all__ = [
    "basis",
    "columns",
    "count_left_out",
    "count_removal_reasons",
    "counts",
    "find_best_values",
    "limits",
    "list_rejected_files",
    "steps",
    "tests_text",
    "trainings_name",
]

_FEW_IMAGES = 10
_NAMED = 8
_TESTS = {
    "components_t": "the t test on the parts that trainings and test images have in the variance of the difference",
    "sign_flip": "an exact sign-flip test over the paired repetitions",
    "corrected_t": "the corrected resampled t test (Nadeau and Bengio), as folds share most of their training images",
}
_INTERVALS = {
    "components_t": "the same test",
    "sign_flip": "a bootstrap over repetitions and test images",
    "corrected_t": "the same test",
}


def basis(comparison: Comparison) -> list[str]:
    """Design, declared contrast, controls and what the design could have shown: a short sentence each."""
    c, images = comparison, sum(comparison.test_counts.values())
    texts = [_design(c, images), _declared(c)]
    if controls := [plain(arm) for arm, r in c.arms.items() if r.is_control]:
        best_text = f"; best of them on the validation images: {plain(c.best_control)}" if c.best_control else ""
        texts.append(f"A gain has to beat every control: {', '.join(controls)}{best_text}.")
    if c.against_original is not None:
        texts.append(against_original_text(c.against_original, c.confidence))
    texts += [positive_control_text(oracle, c.confidence) for oracle in c.positive_control]
    if c.power is not None:
        texts.append(f"{power_text(c.power)} An estimate from the differences seen, no part of the verdict.")
    return [keep_percent_on_line(text) for text in texts]


def _design(c: Comparison, images: int) -> str:
    arms = f"{len(c.arms)} arm{'s' * (len(c.arms) != 1)}"
    images_text = f"{number(images)} real image{'s' * (images != 1)}"
    if c.folds:
        return f"Design: {c.design} of {arms}; each of {images_text} is a test image once in every repetition."
    paired = ", paired by their initial weights" if len(c.arms) > 1 and c.repetitions > 1 else ""
    return f"Design: {c.design} of {arms}{paired}, tested on the same {images_text}."


def _declared(c: Comparison) -> str:
    best_text = "the synthetic arm that does best on the validation images"
    arm_text = best_text if c.primary.arm == BEST else plain(c.primary.arm)
    outcome = ""
    if c.contrasts and c.primary.arm == BEST:
        outcome = f" It came to {plain(c.contrasts[0].arm)}."
    if c.hardest_control and sum(r.is_control for r in c.arms.values()) > 1:
        outcome += f" The control that is hardest to beat: {plain(c.hardest_control)}."
    return f"Declared before the run: {arm_text} against every control, by {metric_name(c.primary.metric)}.{outcome}"


def steps(comparison: Comparison) -> list[Contrast]:
    """The steps of the waterfall, and the whole way at the end."""
    whole = [comparison.against_original] if comparison.against_original else []
    return [*comparison.waterfall, *whole]


def trainings_name(comparison: Comparison) -> str:
    """What the trainings of an arm are called: `folds` or `repetitions`."""
    return "folds" if comparison.folds else "repetitions"


def tests_text(comparison: Comparison) -> str:
    """How p-values and intervals of the contrasts came about."""
    kind = comparison.contrasts[0].test if comparison.contrasts else "components_t"
    return f"p: {_TESTS[kind]}. Interval: {_INTERVALS[kind]}."


def limits(comparison: Comparison) -> list[str]:
    """Limits of these figures."""
    texts = []
    few = [c for c in comparison.by_rarity if 0 < comparison.test_counts[c] < _FEW_IMAGES]
    none = [c for c in comparison.by_rarity if not comparison.test_counts[c]]
    if none:
        texts.append(f"No test images, hence no figures: {', '.join(plain(c) for c in none)}.")
    if few:
        class_text = ", ".join(f"{plain(c)} ({comparison.test_counts[c]})" for c in few[:_NAMED])
        more = f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
        texts.append(f"Few test images, hence wide intervals: {class_text}{more}.")
    if min(r.repetitions for r in comparison.arms.values()) == 1:
        texts.append("One repetition: the intervals know nothing of how much training varies.")
    if comparison.folds:
        texts.append(
            "Folds share most of their training images; the corrected test allows for that by a rule of thumb, "
            "not exactly."
        )
        texts.append("Maps and disturbed test images, where they are shown, are of the first fold alone.")
    if comparison.verdict != "gain" and not is_worse(comparison):
        texts.append("No gain shown is not proof that there is none: a smaller gain than the design can see may exist.")
    texts.append("All figures are about these test images; images from elsewhere may fare otherwise.")
    texts.append("Many figures stand side by side here. Only the first sentence is a test that was fixed beforehand.")
    return texts


def columns(comparison: Comparison, place: Place, class_name: Callable[[str], str] = plain) -> dict[str, str]:
    """Key of each metric that is shown in a place -> its heading; `class_name` shortens that of the rarest class.

    What was declared to decide is shown in every place; what no arm has, such as a figure at a threshold, in none.
    """
    rare, declared = class_name(comparison.rarest_class), METRICS[comparison.primary.metric]
    shown = [m for m in shown_in(place) if m.needs == "predictions" or _has(comparison, m.name)]
    if declared not in shown and _has(comparison, declared.name):
        shown.insert(0, declared)
    return {comparison.key_of(m): m.title.replace("the rarest class", rare) for m in shown}


def _has(comparison: Comparison, metric: str) -> bool:
    return any(metric in result.metrics for result in comparison.arms.values())


def find_best_values(comparison: Comparison, place: Place) -> dict[str, str | None]:
    """The arm with the best mean of each column; None where several have the same figure as it is shown."""
    best_arms: dict[str, str | None] = {}
    for key in columns(comparison, place):
        means = {arm: r.metrics[key].mean for arm, r in comparison.arms.items() if key in r.metrics}
        best = max if key not in METRICS or METRICS[key].higher_is_better else min
        best_arm = best(means, key=lambda arm: means[arm], default=None)
        top = [arm for arm, mean in means.items() if best_arm and figure(mean, key) == figure(means[best_arm], key)]
        best_arms[key] = best_arm if top == [best_arm] and len(means) > 1 else None
    return best_arms


def counts(comparison: Comparison, dataset: Mapping[str, Any] | None) -> list[tuple[str, list[int]]]:
    """Class -> training, validation (where known) and test images, the rarest class first."""
    counts_by_split = (dataset or {}).get("counts", {})
    val = counts_by_split.get("val")
    rows = []
    for name in comparison.by_rarity:
        row = [comparison.train_counts[name], comparison.test_counts[name]]
        rows.append((name, [row[0], val.get(name, 0), row[1]] if val else row))
    return rows


_NAMED_FILES = 5


def count_left_out(dataset: Mapping[str, Any] | None) -> str:
    """How many files and images, in one sentence; empty where there are none."""
    files, images = (len((dataset or {}).get(key, ())) for key in ("rejected", "removed"))
    parts = [f"{number(files)} file{'s' * (files != 1)} that could not be used"] if files else []
    parts += [f"{number(images)} readable image{'s' * (images != 1)}"] if images else []
    return f"Left out: {' and '.join(parts)}." if parts else ""


def list_rejected_files(dataset: Mapping[str, Any] | None) -> list[str]:
    """The first few files that could not be used, each with its reason, and where the rest stand."""
    files = (dataset or {}).get("rejected", ())
    file_texts = [f"{plain(file['path'], 160)}: {plain(file['reason'], 200)}" for file in files[:_NAMED_FILES]]
    if more := len(files) - len(file_texts):
        file_texts.append(f"and {number(more)} more; dataset.html in the data set's MLflow run lists them")
    return file_texts


def count_removal_reasons(dataset: Mapping[str, Any] | None) -> dict[str, int]:
    """Reason -> number of readable images left out for it."""
    return dict(Counter(entry["reason"] for entry in (dataset or {}).get("removed", ())).most_common())
