"""One arm against every control: the contrast that decides, and what stands beside it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from synaug_core.config import BEST, EvaluationConfig
from synaug_core.evaluate import predictions, proportions, results, scorer, variance
from synaug_core.evaluate.contrast import Contrast, contrast, hardest, holm
from synaug_core.evaluate.folds import fold_contrast
from synaug_core.evaluate.power import Power, power_report
from synaug_core.metrics import METRICS, ROBUST

__all__ = ["ORIGINAL", "WATERFALL", "Contest", "Evidence"]

ORIGINAL = "original"
"""The arm of real images as they are, which the judged arm is held against too."""
WATERFALL = (ORIGINAL, "balanced", "control")
"""Standard arms, each with one thing more than the one before; the judged arm comes last."""


class Evidence(NamedTuple):
    """What a verdict rests on, and what stands beside it; as in `Comparison`."""

    contrasts: tuple[Contrast, ...] = ()
    against_controls: tuple[Contrast, ...] = ()
    against_original: Contrast | None = None
    waterfall: tuple[Contrast, ...] = ()
    positive_control: tuple[Contrast, ...] = ()
    family: tuple[Contrast, ...] = ()
    mcnemar: tuple[proportions.Discordance, ...] = ()
    power: Power | None = None


class Contest:
    """Arms, and by what rules they are judged.

    Args:
        test: arm -> predictions, as in `comparison.compare`.
        rare: arm -> of each of its trainings, the rarest class.
        attacked: arm -> its balanced accuracy under attack, where that was measured in every training.
        arms: arm -> what it is.
        config: level, the declared contrast.
        folds: number of folds of the cross-validation; None: one test part.
    """

    def __init__(
        self,
        test: Mapping[str, Sequence[predictions.Predictions]],
        rare: Mapping[str, Sequence[scorer.RareClass]],
        attacked: Mapping[str, variance.Measured],
        arms: Mapping[str, results.ArmResult],
        config: EvaluationConfig,
        folds: int | None,
    ) -> None:
        self.test, self.rare, self.config, self.folds = test, rare, config, folds
        self.controls = [name for name, arm in arms.items() if arm.is_control]
        self.positive = [name for name, arm in arms.items() if arm.is_positive_control]
        self.synthetic = [name for name in arms if name not in self.controls and name not in self.positive]
        self._measured = {(name, ROBUST): measured for name, measured in attacked.items()}

    def measured(self, arm: str, metric: str) -> variance.Measured:
        """The metric of the arm's trainings."""
        if (arm, metric) not in self._measured:
            self._measured[arm, metric] = variance.measure(self.test[arm], metric, self.rare[arm])
        return self._measured[arm, metric]

    def defines(self, metric: str) -> bool:
        """Whether every training of every arm has the metric; in a cross-validation, whether one of each arm has."""
        if metric == ROBUST and any((arm, metric) not in self._measured for arm in self.test):
            return False
        enough = np.all if self.folds is None else np.any
        return all(enough(~np.isnan(self.measured(arm, metric).values)) for arm in self.test)

    def contrast(self, arm: str, against: str, metric: str) -> Contrast:
        """One arm against another, p not adjusted."""
        pair, confidence = (self.measured(arm, metric), self.measured(against, metric)), self.config.confidence
        if self.folds is None:
            difference, p, pairs = contrast(*pair, metric, confidence)
        else:
            difference, p, pairs = fold_contrast(*pair, metric, folds=self.folds, confidence=confidence)
        return Contrast(
            arm=arm,
            against=against,
            metric=metric,
            difference=difference,
            p_value=p,
            p_adjusted=p,
            repetitions=pairs,
            test="components_t" if self.folds is None else "corrected_t",
        )

    def against_controls(self, arm: str, metric: str) -> tuple[Contrast, ...]:
        """One arm against each control."""
        return tuple(self.contrast(arm, control, metric) for control in self.controls)

    def evidence(self, rival: str | None) -> Evidence:
        """Judge an arm that is no control on all endpoints, and all synthetic arms on the declared one; `rival` None,
        or no control: only what needs none."""
        metric = self.config.primary.metric
        beside = Evidence(
            against_original=self.contrast(rival, ORIGINAL, metric) if rival and ORIGINAL in self.test else None,
            waterfall=self._waterfall(rival, metric),
            positive_control=tuple(hardest(self.against_controls(arm, metric)) for arm in self.positive)
            if self.controls
            else (),
        )
        return self._judged(rival, metric, beside) if rival and self.controls else beside

    def _judged(self, rival: str, metric: str, beside: Evidence) -> Evidence:
        by_arm = {arm: self.against_controls(arm, metric) for arm in self.synthetic}
        hardest_of = {arm: hardest(contrasts) for arm, contrasts in by_arm.items()}
        adjusted_p = holm({arm: c.p_value for arm, c in hardest_of.items()})
        family = {arm: c.model_copy(update={"p_adjusted": adjusted_p[arm]}) for arm, c in hardest_of.items()}
        # in a cross-validation test images had a part in the choice of the best
        is_chosen_in_sight = self.folds is not None and self.config.primary.arm == BEST
        deciding = (family if is_chosen_in_sight else hardest_of)[rival]
        endpoints = [m.name for m in METRICS.values() if m.may_decide and m.name != metric and self.defines(m.name)]
        level, against = 1 - self.config.confidence, deciding.against
        return beside._replace(
            contrasts=(deciding, *(hardest(self.against_controls(rival, endpoint)) for endpoint in endpoints)),
            against_controls=by_arm[rival],
            family=tuple(family.values()),
            mcnemar=proportions.discordances(self.test[rival], self.test[against]) if self.folds is None else (),
            power=power_report(
                self.measured(rival, metric).minus(self.measured(against, metric)),
                metric,
                level=level / len(family) if is_chosen_in_sight else level,
                repetitions=min(len(self.test[rival]), len(self.test[against])) // (self.folds or 1),
                folds=self.folds,
            ),
        )

    def _waterfall(self, rival: str | None, metric: str) -> tuple[Contrast, ...]:
        """Each arm against the one before it; empty where there are no two steps."""
        arms = [arm for arm in WATERFALL if arm in self.test]
        arms += [rival] if rival and rival not in arms else []
        return tuple(self.contrast(b, a, metric) for a, b in pairwise(arms)) if len(arms) > 2 else ()
