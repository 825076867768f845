"""Whether recent images drifted away from the reference: the two tests, and the finding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from synaug_core import frozen, seeds
from synaug_core.config.watch import FeatureKind, WatchConfig
from synaug_core.drift.mmd import mmd_test
from synaug_core.evaluate import contrast, intervals, sentence

__all__ = ["Finding", "FrequencyTest", "detect_drift", "frequency_test", "reference_rows"]

Verdict = Literal["drift", "no drift shown", "too few images"]
_MOST_REFERENCE = 2000
"""Images of the reference: the kernel holds the square of these and the recent ones together."""
_LEAST_REFERENCE = 10
_TOLERANCE = 1e-9


class Finding(frozen.Frozen):
    """Recent images beside the reference; the figures are None where there were too few."""

    verdict: Verdict
    level: float
    """Of this look: its part of what the looks share."""
    looks: int = 1
    """Looks that share the declared level."""
    recent: int
    """Different recent images that were compared."""
    minimum: int
    reference: int
    """Known images that they were compared with, by both tests."""
    features: FeatureKind = "classifier"
    """By which the images were compared."""
    mmd: intervals.Finite | None = None
    mmd_p: intervals.Finite | None = None
    null: tuple[intervals.Finite, ...] = ()
    """Distances of random relabellings."""
    chi_square: intervals.Finite | None = None
    classes_p: intervals.Finite | None = None
    shares: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Class -> share predicted in the reference, and in the recent images."""

    @property
    def adjusted_p_values(self) -> dict[str, float]:
        """The p-values of both tests after Holm; empty with too few images."""
        if self.mmd_p is None or self.classes_p is None:
            return {}
        return contrast.holm({"images": self.mmd_p, "classes": self.classes_p})

    @property
    def sentence(self) -> str:
        """The finding in one line."""
        n = f"{self.recent} recent image{'s' * (self.recent != 1)}"
        if self.verdict == "too few images":
            if self.recent >= self.minimum:
                return (
                    f"Too few known images to say anything: {self.reference}, at least {_LEAST_REFERENCE} are needed."
                )
            return f"Too few images to say anything: {n}, at least {self.minimum} are needed."
        images, classes = self.adjusted_p_values["images"], self.adjusted_p_values["classes"]
        changes = []
        if images <= self.level:
            changes.append("look different")
        if classes <= self.level:
            changes.append("are classed in another mix")
        comparison = f"{n} against {self.reference} known ones; images {sentence.p_text(images)}, "
        comparison += f"classes {sentence.p_text(classes)}, "
        comparison += f"level {self.level:.2g}"
        comparison += f", {self.level * self.looks:g} shared by {self.looks} looks" if self.looks > 1 else ""
        if changes:
            return f"Drift: recent images {' and '.join(changes)} ({comparison})."
        return f"No drift shown ({comparison})."

    def metrics(self) -> dict[str, float | None]:
        """Figures by their names in MLflow."""
        metrics: dict[str, float | None] = {
            "watch/images": float(self.recent),
            "watch/reference": float(self.reference),
            "watch/mmd": self.mmd,
            "watch/mmd_p": self.mmd_p,
            "watch/chi_square": self.chi_square,
            "watch/classes_p": self.classes_p,
        }
        if self.verdict != "too few images":
            metrics["watch/drift"] = float(self.verdict == "drift")
        return metrics | {f"watch/{name}_p_adjusted": p for name, p in self.adjusted_p_values.items()}


def reference_rows(images: int, seed: int) -> list[int]:
    """Which of so many known images stand for all of them: all in their order, or 2000 of more, drawn from `seed`."""
    if images <= _MOST_REFERENCE:
        return list(range(images))
    rows: list[int] = (
        np.random.default_rng(seeds.derive(seed, "reference")).permutation(images)[:_MOST_REFERENCE].tolist()
    )
    return rows


def detect_drift(
    reference: Tensor,
    recent: Tensor,
    reference_classes: NDArray[np.int64],
    recent_classes: NDArray[np.int64],
    classes: tuple[str, ...],
    *,
    config: WatchConfig,
    seed: int,
) -> Finding:
    """Compare recent images with the reference: their features, and the mix of classes predicted for them.

    There is drift where either test is significant at the look's part of the declared level after Holm's correction
    for the two of them. Each look sets other images against the same reference and may err anew; `looks` of them share
    the level equally (Bonferroni), so that together they err with at most that probability. Falling shares, as the
    promotion gate has them, would leave a watch without end nothing to find drift with.

    Args:
        reference: features (n, d) of images that the model was not trained on, at most 2000 (`reference_rows`).
        recent: features (m, d), the same kind.
        reference_classes: predicted classes, indices into `classes`, (n,).
        recent_classes: the same of the recent images, (m,).
        classes: names.
        config: level, minimum and permutations.
        seed: of all that is drawn.

    Raises:
        ValueError: a larger reference.
    """
    n, m = len(reference), len(recent)
    if n > _MOST_REFERENCE:
        raise ValueError(f"reference: {n} images, at most {_MOST_REFERENCE} fit; draw them with reference_rows")
    finding = Finding(
        verdict="too few images",
        level=config.level_of_a_look,
        looks=config.looks,
        recent=m,
        minimum=config.minimum,
        reference=n,
    )
    if m < config.minimum or n < _LEAST_REFERENCE:
        return finding
    image_test = mmd_test(reference, recent, permutations=config.relabellings, seed=seeds.derive(seed, "mmd"))
    counts = [np.bincount(predicted, minlength=len(classes)) for predicted in (reference_classes, recent_classes)]
    class_test = frequency_test(
        counts[0].tolist(), counts[1].tolist(), draws=config.relabellings, seed=seeds.derive(seed, "classes")
    )
    shares = [c / c.sum() for c in counts]
    tests = {
        "mmd": image_test.value,
        "mmd_p": image_test.p_value,
        "null": image_test.null,
        "chi_square": class_test.statistic,
        "classes_p": class_test.p_value,
        "shares": {name: (float(shares[0][i]), float(shares[1][i])) for i, name in enumerate(classes)},
    }
    finding = finding.model_copy(update=tests)
    has_drift = min(finding.adjusted_p_values.values()) <= config.level_of_a_look
    return finding.model_copy(update={"verdict": "drift" if has_drift else "no drift shown"})


@dataclass(frozen=True)
class FrequencyTest:
    """A test of two rows of counts.

    Attributes:
        statistic: Pearson's chi-square of homogeneity.
        p_value: exact but for the number of draws, at any counts.
    """

    statistic: float
    p_value: float


def frequency_test(reference: Sequence[int], recent: Sequence[int], *, draws: int, seed: int) -> FrequencyTest:
    """Pearson's chi-square of two rows of class counts, with its p-value by random tables of the same margins: the
    classes of a set of images drawn without replacement from both sets together. It holds where the chi-square
    distribution does not, as with rare classes.

    Args:
        reference: images predicted as each class.
        recent: the same, in the same order of classes.
        draws: random tables.
        seed: of the draws.

    Raises:
        ValueError: counts of different length, or a side without images.
    """
    reference_counts, recent_counts = np.asarray(reference, dtype=np.int64), np.asarray(recent, dtype=np.int64)
    if reference_counts.shape != recent_counts.shape or reference_counts.sum() == 0 or recent_counts.sum() == 0:
        raise ValueError("counts of the same classes are needed, with an image on each side")
    total_counts, m = reference_counts + recent_counts, int(recent_counts.sum())
    observed_statistic = float(_statistic(recent_counts[None], total_counts, m)[0])
    drawn_counts = np.random.default_rng(seed).multivariate_hypergeometric(
        total_counts, m, size=draws, method="marginals"
    )
    as_far = int(
        (_statistic(drawn_counts, total_counts, m) >= observed_statistic * (1 - _TOLERANCE) - _TOLERANCE).sum()
    )
    return FrequencyTest(observed_statistic, (1 + as_far) / (1 + draws))


def _statistic(recent: NDArray[np.int64], total_counts: NDArray[np.int64], m: int) -> NDArray[np.float64]:
    """Pearson's chi-square of (B, k) counts of m images against the rest of the pool."""
    possible = total_counts > 0
    total = int(total_counts.sum())
    expected_counts = total_counts[possible] * (m / total)
    statistic: NDArray[np.float64] = ((recent[:, possible] - expected_counts) ** 2 / expected_counts).sum(1) * (
        total / (total - m)
    )
    return statistic
