"""What came of a visual Turing test, in figures and in one sentence."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from synaug_core.frozen import Frozen
from synaug_core.turing.answers import Answer
from synaug_core.turing.scores import Score, cohen_kappa, fleiss_kappa, score

__all__ = ["Agreement", "Fooled", "TuringResult", "Verdict", "evaluate", "score_of"]

KappaName = Literal["Cohen's kappa", "Fleiss' kappa"]
Verdict = Literal["distinguishable", "not shown to be distinguishable", "mistaken for each other"]

_CONFIDENCE = 0.95
_NUMBERS = {1: "One person", 2: "Two people", 3: "Three people", 4: "Four people", 5: "Five people"}


class Agreement(Frozen):
    """How far raters said the same, beyond chance: 0 is chance, 1 is always.

    Attributes:
        name: Cohen's kappa of two raters, Fleiss' of more.
        kappa: None where all said one and the same of all images.
        raters: who is compared.
        images: how many all of them answered.
    """

    name: KappaName
    kappa: float | None
    raters: tuple[str, ...]
    images: int


class Fooled(Frozen):
    """An image that most of those who answered took for what it is not."""

    item: int
    image: str
    class_name: str
    synthetic: bool
    wrong: int
    answers: int


class TuringResult(Frozen):
    """The figures of one test.

    Attributes:
        images: how many the test shows, real and synthetic together.
        pooled: of all answers.
        raters: of each rater, in order of the first answer.
        classes: of each class, all raters together, in order of the design.
        agreement: None for one rater, or where no image was answered by two.
        fooled: images that fooled most people, those that fooled most first.
        verdict: in a word.
        sentence: what it means.
    """

    images: int
    pooled: Score
    raters: dict[str, Score]
    classes: dict[str, Score]
    agreement: Agreement | None
    fooled: tuple[Fooled, ...]
    verdict: Verdict
    sentence: str

    def metrics(self) -> dict[str, float | None]:
        """Figures by their names in MLflow; None where undefined."""
        return {
            "turing/accuracy": self.pooled.accuracy,
            "turing/accuracy/low": self.pooled.low,
            "turing/accuracy/high": self.pooled.high,
            "turing/p_value": self.pooled.p_value,
            "turing/d_prime": self.pooled.d_prime,
            "turing/criterion": self.pooled.criterion,
            "turing/hit_rate": self.pooled.hit_rate,
            "turing/false_alarm_rate": self.pooled.false_alarm_rate,
            "turing/kappa": self.agreement.kappa if self.agreement else None,
            "turing/raters": len(self.raters),
            "turing/answers": self.pooled.answers,
            "turing/fooled": len(self.fooled),
        }


def evaluate(answers: Sequence[Answer], *, images: int, seed: int = 0) -> TuringResult:
    """The figures of all answers given so far.

    Args:
        answers: one at least; at most one of each rater to each image.
        images: how many the test shows.
        seed: of the relabelling test.

    Raises:
        ValueError: there are no answers.
    """
    if not answers:
        raise ValueError("there are no answers")
    names = list(dict.fromkeys(a.rater for a in answers))
    classes = list(dict.fromkeys(a.class_name for a in sorted(answers, key=lambda a: a.item)))
    total_score = score_of(answers, seed)
    verdict, sentence = _verdict(total_score, len(names))
    return TuringResult(
        images=images,
        pooled=total_score,
        raters={name: score_of([a for a in answers if a.rater == name], seed) for name in names},
        classes={name: score_of([a for a in answers if a.class_name == name], seed) for name in classes},
        agreement=_agreement(answers, names, images),
        fooled=_fooled(answers),
        verdict=verdict,
        sentence=sentence,
    )


def score_of(answers: Sequence[Answer], seed: int = 0) -> Score:
    """The figures of some answers, one at least."""
    names = {name: i for i, name in enumerate(dict.fromkeys(a.class_name for a in answers))}
    return score(
        np.array([a.synthetic for a in answers]),
        np.array([a.said_synthetic for a in answers]),
        np.array([a.seconds for a in answers]),
        images=np.array([a.item for a in answers], dtype=np.int64),
        strata=np.array([names[a.class_name] for a in answers], dtype=np.int64),
        confidence=_CONFIDENCE,
        seed=seed,
    )


def _agreement(answers: Sequence[Answer], names: Sequence[str], images: int) -> Agreement | None:
    """Of those who answered everything, where two did; else of all, on the images that all answered."""
    calls = {name: {a.item: a.said_synthetic for a in answers if a.rater == name} for name in names}
    done = [name for name in names if len(calls[name]) == images]
    rater_names = done if len(done) > 1 else list(names)
    common = sorted(set.intersection(*(set(calls[name]) for name in rater_names)))
    if len(rater_names) < 2 or not common:
        return None
    table = np.array([[calls[name][item] for item in common] for name in rater_names])
    kappa = cohen_kappa(table[0], table[1]) if len(rater_names) == 2 else fleiss_kappa(table)
    kind: KappaName = "Cohen's kappa" if len(rater_names) == 2 else "Fleiss' kappa"
    return Agreement(name=kind, kappa=kappa, raters=tuple(rater_names), images=len(common))


def _fooled(answers: Sequence[Answer]) -> tuple[Fooled, ...]:
    by_item: dict[int, list[Answer]] = {}
    for answer in answers:
        by_item.setdefault(answer.item, []).append(answer)
    fooling_items = [
        Fooled(
            item=item,
            image=item_answers[0].image,
            class_name=item_answers[0].class_name,
            synthetic=item_answers[0].synthetic,
            wrong=wrong_count,
            answers=len(item_answers),
        )
        for item, item_answers in by_item.items()
        if 2 * (wrong_count := sum(not a.is_right for a in item_answers)) > len(item_answers)
    ]
    return tuple(sorted(fooling_items, key=lambda f: (-f.wrong / f.answers, -f.wrong, f.item)))


def _verdict(total_score: Score, raters: int) -> tuple[Verdict, str]:
    rater_text = _NUMBERS.get(raters, f"{raters} people")
    low, high = f"{100 * total_score.low:.0f}", f"{100 * total_score.high:.0f}"
    sentence = f"{rater_text} told real and synthetic images apart in {100 * total_score.accuracy:.0f} % of cases "
    sentence += f"({100 * _CONFIDENCE:.0f} % interval {low} to {high} %; guessing gives 50 %): "
    if total_score.low > 0.5:
        return "distinguishable", sentence + "distinguishable."
    if total_score.high < 0.5:
        return "mistaken for each other", sentence + "a difference was seen, but taken for the opposite."
    wide = (
        f"{total_score.answers} answer{'s do' if total_score.answers != 1 else ' does'} not rule out a rate of {high} %"
    )
    return "not shown to be distinguishable", sentence + f"not shown to be distinguishable; {wide}."
