"""How often the rule of a comparison sees a gain where there is none, and how often it finds a true one.

`python -m benchmarks.null_simulation` prints the tables of docs/methods.md. Nothing is trained: predictions are drawn
from a model in which images differ in difficulty, suit one arm more than another, and trainings have luck. Beside the
rule stands the one before it: the exact sign-flip test with a bootstrap interval crossed over trainings and test
images, against the one control that did best on the validation images.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from synaug_core.evaluate.contrast import LEAST
from synaug_core.evaluate.intervals import draw_repetitions, draw_stratified
from synaug_core.evaluate.variance import Measured, t_test

__all__ = ["sign_flip"]

LEVEL = 0.05
RESAMPLES = 400
"""Of the former rule's bootstrap."""
_EXACT_UP_TO = 16
_MONTE_CARLO = 65_536


@dataclass(frozen=True)
class Setting:
    """A design, and where the variance of its predictions comes from.

    Attributes:
        counts: test images of each class.
        repetitions: trainings of each arm.
        skill: by how much the true class's logit is raised.
        difficulty: spread of what an image is to all arms.
        suits: of what an image is to one arm, in all its trainings.
        luck: of what a training does to each class.
        noise: of what a training does to each image.
        validation: validation images, by which arms are chosen, in the same shares.
    """

    counts: tuple[int, ...]
    repetitions: int
    skill: float = 2.0
    difficulty: float = 1.0
    suits: float = 0.5
    luck: float = 0.3
    noise: float = 0.7
    validation: int = 60

    @property
    def name(self) -> str:
        """Images, classes, repetitions."""
        return f"{sum(self.counts):,} images, {len(self.counts)} classes, {self.repetitions} repetitions"

    @property
    def spread(self) -> float:
        """Of a logit, over images and trainings."""
        return float(np.sqrt(self.difficulty**2 + self.suits**2 + self.luck**2 + self.noise**2))


SETTINGS = (
    Setting((20, 40), 6, skill=1.2),
    Setting((10,) * 8, 6, skill=2.5),
    Setting((10, 40, 60), 10),
    Setting((20, 100, 180), 10, luck=0.6),
    Setting((50, 150, 300, 500), 20),
    Setting((100, 200, 300, 400, 500, 600, 800, 1100), 6, skill=2.5),
)
POWER_SETTING = Setting((30, 70, 100), 6)
GAINS = (0.02, 0.04, 0.06, 0.10)
SYNTHETIC, CONTROLS = 8, 4


@dataclass(frozen=True, eq=False)
class Trial:
    """Simulated arms on the same test images; arms with a gain stand first.

    Attributes:
        labels: int64 (n,).
        right: bool (A, R, n): which test images each training of each arm got right.
        validation: float64 (A,): mean balanced accuracy on the validation images.
    """

    labels: NDArray[np.int64]
    right: NDArray[np.bool_]
    validation: NDArray[np.float64]

    def difference(self, arm: int, control: int) -> Measured:
        """Balanced accuracy of an arm's trainings minus that of a control's."""
        classes = int(self.labels.max()) + 1
        influences = (self.right[arm].astype(np.float64) - self.right[control]) / classes
        values = influences @ (1 / np.bincount(self.labels))[self.labels]
        return Measured(values, tuple(influences), (self.labels,) * len(values))


def simulate(setting: Setting, gains: Sequence[float], rng: np.random.Generator) -> Trial:
    """One experiment; arm i's skill is raised by `gains[i]`."""
    counts = np.array(setting.counts)
    classes, validation = len(counts), np.maximum(2, counts * setting.validation // counts.sum())
    labels = np.repeat(np.tile(np.arange(classes), 2), np.concatenate([counts, validation]))
    n, total = int(counts.sum()), len(labels)
    difficulty = rng.normal(0, setting.difficulty, (total, classes)).astype(np.float32)
    right = np.empty((len(gains), setting.repetitions, total), bool)
    for arm, gain in enumerate(gains):
        logits = difficulty + setting.suits * rng.standard_normal((total, classes), np.float32)
        logits[np.arange(total), labels] += np.float32(setting.skill + gain)
        luck = setting.luck * rng.standard_normal((setting.repetitions, 1, classes), np.float32)
        noise = setting.noise * rng.standard_normal((setting.repetitions, total, classes), np.float32)
        right[arm] = (logits + luck + noise).argmax(2) == labels
    recalls = [right[:, :, n:][:, :, labels[n:] == c].mean((1, 2)) for c in range(classes)]
    return Trial(labels[:n], right[:, :, :n], np.mean(recalls, axis=0))


def skill_gain(setting: Setting, points: float, draws: int = 400_000) -> float:
    """What has to be added to the skill for so much more balanced accuracy, by bisection on one set of draws."""
    logits = np.random.default_rng(0).normal(0, setting.spread, (draws, len(setting.counts)))
    margin = logits[:, 1:].max(1) - logits[:, 0]
    target = (margin < setting.skill).mean() + points
    low, high = 0.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if (margin < setting.skill + middle).mean() < target else (low, middle)
    return high


def sign_flip(differences: Sequence[float] | NDArray[np.float64], *, seed: int = 0) -> float:
    """Two-sided p-value of the paired differences' mean when each sign is a coin's (Fisher's randomisation test).

    All 2^n patterns for n <= 16, else 65,536 seeded random ones. The least value for n pairs is 2^(1-n).
    """
    values = np.asarray(differences, np.float64)
    n = len(values)
    if n <= _EXACT_UP_TO:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    else:
        signs = 1.0 - 2.0 * np.random.default_rng(seed).integers(0, 2, (_MONTE_CARLO, n))
        signs[0] = 1.0  # the data itself is one of the patterns, or p could be 0
    # sums that differ by rounding alone are equal
    as_extreme = np.abs(signs @ values) >= abs(values.sum()) - 1e-12 * max(n, 1)
    return float(as_extreme.mean())


def former_rule_gains(difference: Measured, rng: np.random.Generator) -> bool:
    """The rule before: sign-flip p below the level, and the crossed bootstrap's interval above 0."""
    if difference.values.mean() <= 0 or sign_flip(difference.values) >= LEVEL:
        return False
    labels, number = difference.labels[0], len(difference.values)
    weights = draw_stratified(labels, RESAMPLES, rng) / np.bincount(labels)[labels][:, None]
    resampled = ((np.stack(difference.influences) @ weights) * draw_repetitions(number, RESAMPLES, rng)).sum(0)
    return bool(np.quantile(resampled / number, LEVEL / 2) > 0)


def p_value(difference: Measured) -> float:
    """Of the test on the variance's parts."""
    pairs = len(difference.values)
    return t_test(float(difference.values.mean()), difference.spread(), pairs, 1 - LEVEL)[1]


def rule_gains(differences: Sequence[Measured]) -> bool:
    """The rule: better than each, and the largest p-value below the level."""
    return all(len(d.values) >= LEAST and d.values.mean() > 0 and p_value(d) < LEVEL for d in differences)


@dataclass
class Rates:
    """How often each of some events happened."""

    trials: int = 0
    hits: dict[str, int] = field(default_factory=dict)

    def add(self, **events: bool) -> None:
        """One more trial."""
        self.trials += 1
        for name, happened in events.items():
            self.hits[name] = self.hits.get(name, 0) + happened

    def __getitem__(self, name: str) -> float:
        return self.hits[name] / self.trials


def null_rates(setting: Setting, trials: int, seed: int) -> Rates:
    """No arm is better: 8 synthetic arms and 4 controls, the best of each chosen on the validation images."""
    rng, rates = np.random.default_rng(seed), Rates()
    for _ in range(trials):
        trial = simulate(setting, [0.0] * (SYNTHETIC + CONTROLS), rng)
        arm = int(trial.validation[:SYNTHETIC].argmax())
        controls = range(SYNTHETIC, SYNTHETIC + CONTROLS)
        best = SYNTHETIC + int(trial.validation[SYNTHETIC:].argmax())
        differences = [trial.difference(arm, control) for control in controls]
        rates.add(
            p=p_value(trial.difference(0, SYNTHETIC)) < LEVEL,
            former=former_rule_gains(trial.difference(arm, best), rng),
            best=rule_gains([trial.difference(arm, best)]),
            weakest=rule_gains(differences[:1]),
            every=rule_gains(differences),
        )
    return rates


def power_rates(setting: Setting, gain: float, trials: int, seed: int) -> Rates:
    """One arm is better by `gain` points than each of 4 equal controls."""
    rng, rates, raised = np.random.default_rng(seed), Rates(), skill_gain(setting, gain)
    for _ in range(trials):
        trial = simulate(setting, [raised] + [0.0] * CONTROLS, rng)
        differences = [trial.difference(0, control) for control in range(1, CONTROLS + 1)]
        rates.add(
            former=former_rule_gains(differences[0], rng),
            one=rule_gains(differences[:1]),
            every=rule_gains(differences),
        )
    return rates


def null_table(trials: int, seed: int) -> Iterator[str]:
    """Shares in percent, a row for each setting."""
    yield f"No arm is better; {trials:,} experiments in each row, 8 synthetic arms, 4 controls; in percent:"
    yield ""
    yield (
        "| design | p < .05, two arms | former rule: gain over the best control | new test: gain over the best control "
        "| gain over one control alone | gain over every control |"
    )
    yield "|---" * 6 + "|"
    for i, setting in enumerate(SETTINGS):
        rates = null_rates(setting, trials, seed + i)
        cells = (f"{100 * rates[name]:.1f}" for name in ("p", "former", "best", "weakest", "every"))
        yield f"| {setting.name} | {' | '.join(cells)} |"


def power_table(trials: int, seed: int) -> Iterator[str]:
    """Shares, a row for each gain."""
    yield f"One arm is better than 4 equal controls; {POWER_SETTING.name}, {trials:,} experiments in each row:"
    yield ""
    yield "| true gain, points | former rule, one control | new test, one control | new rule, every control |"
    yield "|---" * 4 + "|"
    for i, gain in enumerate(GAINS):
        rates = power_rates(POWER_SETTING, gain, trials, seed + 100 + i)
        cells = (f"{rates[name]:.2f}".removeprefix("0") for name in ("former", "one", "every"))
        yield f"| {100 * gain:g} | {' | '.join(cells)} |"


TABLES: dict[str, Callable[[int, int], Iterator[str]]] = {"level": null_table, "power": power_table}


def main() -> None:
    """Print what is asked for; default: both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", default=list(TABLES), choices=[*TABLES, list(TABLES)], help="level, power")
    parser.add_argument("--trials", type=int, default=1000, help="experiments in each row")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.monotonic()
    for name in options.tables:
        for line in TABLES[name](options.trials, options.seed):
            print(line, flush=True)
        print()
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
