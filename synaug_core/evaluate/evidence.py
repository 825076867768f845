"""What speaks for or against the synthetic arm that is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from synaug_core.config import BEST, EvaluationConfig
from synaug_core.evaluate.contrast import Contrast, contrast, holm
from synaug_core.evaluate.folds import fold_contrast
from synaug_core.evaluate.mcnemar import Discordance, discordances
from synaug_core.evaluate.planning import Power, power_report
from synaug_core.evaluate.predictions import Predictions
from synaug_core.seeds import derive

__all__ = ["Duel", "Evidence", "weigh"]


class Evidence(NamedTuple):
    """What speaks for or against the arm to be judged; as in `Comparison`."""

    contrasts: tuple[Contrast, ...] = ()
    others: tuple[Contrast, ...] = ()
    mcnemar: tuple[Discordance, ...] = ()
    power: Power | None = None


class Duel(NamedTuple):
    """Who is judged against whom, and by what rules.

    Attributes:
        test: arm -> predictions, as in `compare`.
        rival: the arm to be judged, no control.
        against: the control it has to beat.
        synthetic: all arms that are no controls, in order; they make the family.
        endpoints: metrics; the declared one first.
        config: level, number of resamples, the declared contrast.
        seed: of every draw.
        folds: number of folds of the cross-validation; None: one test part.
    """

    test: Mapping[str, Sequence[Predictions]]
    rival: str
    against: str
    synthetic: Sequence[str]
    endpoints: Sequence[str]
    config: EvaluationConfig
    seed: int
    folds: int | None

    @property
    def is_chosen_in_sight(self) -> bool:
        """Whether test images had a part in the choice of the synthetic arm."""
        return self.folds is not None and self.config.primary.arm == BEST


def weigh(duel: Duel) -> Evidence:
    """Judge the arm on all endpoints, all synthetic arms on the declared one, and what a larger design would see."""
    contrasts, others = _contrasts(duel)
    ours, theirs, level = duel.test[duel.rival], duel.test[duel.against], 1 - duel.config.confidence
    power = power_report(
        ours,
        theirs,
        duel.config.primary.metric,
        level=level / len(others) if duel.is_chosen_in_sight else level,
        resamples=duel.config.resamples,
        seed=derive(duel.seed, "power"),
        folds=duel.folds,
    )
    return Evidence(contrasts, others, discordances(ours, theirs) if duel.folds is None else (), power)


def _contrasts(duel: Duel) -> tuple[tuple[Contrast, ...], tuple[Contrast, ...]]:
    """The arm to be judged on the endpoints in their order, and all synthetic arms on the first, as one family."""
    contrasts = tuple(_contrast(duel, duel.rival, metric) for metric in duel.endpoints)
    family = {
        arm: contrasts[0] if arm == duel.rival else _contrast(duel, arm, duel.endpoints[0]) for arm in duel.synthetic
    }
    adjusted = holm({arm: c.p_value for arm, c in family.items()})
    others = {arm: c.model_copy(update={"p_adjusted": adjusted[arm]}) for arm, c in family.items()}
    if duel.is_chosen_in_sight:
        contrasts = (others[duel.rival], *contrasts[1:])
    return contrasts, tuple(others.values())


def _contrast(duel: Duel, arm: str, metric: str) -> Contrast:
    ours, theirs, confidence = duel.test[arm], duel.test[duel.against], duel.config.confidence
    if duel.folds is None:
        seed = derive(duel.seed, "contrasts")
        resamples = duel.config.resamples
        found = contrast(ours, theirs, metric, confidence=confidence, resamples=resamples, seed=seed)
    else:
        found = fold_contrast(ours, theirs, metric, folds=duel.folds, confidence=confidence)
    difference, p, pairs = found
    return Contrast(
        arm=arm,
        against=duel.against,
        metric=metric,
        difference=difference,
        p_value=p,
        p_adjusted=p,
        repetitions=pairs,
        test="sign_flip" if duel.folds is None else "corrected_t",
    )
