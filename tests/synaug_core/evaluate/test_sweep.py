from __future__ import annotations

import pytest

from synaug_core.config import EvaluationConfig
from synaug_core.evaluate.comparison import compare
from synaug_core.evaluate.contrast import holm
from synaug_core.evaluate.results import Comparison
from synaug_core.evaluate.sweep import RECIPE_METRICS, SweepResult, sweep_result

CONFIG = EvaluationConfig(resamples=200)
COUNTS = {"class a": 50, "class b": 30, "class c": 6}


def comparison(made, gain: float, config: EvaluationConfig = CONFIG) -> Comparison:
    test = {
        "control": [made((40, 30, 20), 1.0, seed) for seed in range(6)],
        "combined": [made((40, 30, 20), 1.0 + gain, 100 + seed) for seed in range(6)],
    }
    validation = {"control": [0.5] * 6, "combined": [0.6] * 6}
    return compare(test, validation, controls=["control"], train_counts=COUNTS, config=config, seed=0)


@pytest.fixture
def swept(made) -> SweepResult:
    found = [comparison(made, 3.0), comparison(made, 0.0), "a class has no image", comparison(made, 2.0)]
    labels = [{"seed": str(n)} for n in range(4)]
    return sweep_result(["seed"], labels, found, ["a", "b", "", "d"], ["a.html", "b.html", None, "d.html"])


def test_gains_are_counted_and_failures_told(swept):
    assert [cell.verdict for cell in swept.cells] == ["gain", "no gain shown", None, "gain"]
    assert swept.sentence == (
        "2 of 3 combinations show a gain over every control, 2 of them also after Holm's correction over the "
        "sweep; 1 failed."
    )
    assert swept.cells[2].sentence == "a class has no image"


def test_p_values_are_one_family(swept):
    found = {str(n): c.contrast.p_value for n, c in enumerate(swept.cells) if c.contrast}
    told = {str(n): c.contrast.p_adjusted for n, c in enumerate(swept.cells) if c.contrast}
    assert told == holm(found)
    assert told["0"] > found["0"]


def test_arms_carry_averages_and_the_rarest_class(swept):
    cell = swept.cells[0]
    assert cell.rarest_class == "class c"
    assert cell.controls == ("control",)
    assert cell.arms["combined"]["rarest_recall"].mean > cell.arms["control"]["rarest_recall"].mean
    assert {"balanced_accuracy", "macro_auc"} <= cell.arms["control"].keys()


def test_the_judged_arm_on_what_a_recipe_is_to_raise(swept):
    cell = swept.cells[0]
    assert tuple(sorted(cell.contrasts)) == tuple(sorted(RECIPE_METRICS))
    recall = cell.contrasts["rarest_recall"]
    assert (recall.arm, recall.against) == ("combined", "control")
    means = [cell.arms[arm]["rarest_recall"].mean for arm in ("combined", "control")]
    assert recall.difference.mean == pytest.approx(means[0] - means[1])
    assert recall.difference.low < recall.difference.mean < recall.difference.high
    assert swept.cells[2].contrasts == {}


def test_each_combination_is_held_to_its_own_level(made):
    """0.12 after Holm is no gain at 95 % and one at 85 %."""
    for confidence, kept in ((0.95, 0), (0.85, 4)):
        one = comparison(made, 3.0, EvaluationConfig(resamples=200, confidence=confidence))
        first = one.contrasts[0].model_copy(update={"p_value": 0.03, "p_adjusted": 0.03})
        found = [one.model_copy(update={"contrasts": (first,)})] * 4
        swept = sweep_result(["seed"], [{"seed": str(n)} for n in range(4)], found, [""] * 4, [None] * 4)
        assert [cell.contrast.p_adjusted for cell in swept.cells if cell.contrast] == [0.12] * 4
        assert f", {kept} of them also after Holm" in swept.sentence


def test_the_choice_of_an_arm_in_sight_stays_allowed_for(made):
    """In cross-validation the p-value of the best arm is adjusted for its choice before the sweep adjusts it."""
    one = comparison(made, 3.0)
    chosen = one.contrasts[0].model_copy(update={"p_value": 0.01, "p_adjusted": 0.04})
    found = [one.model_copy(update={"contrasts": (chosen,)})] * 2
    swept = sweep_result(["seed"], [{"seed": str(n)} for n in range(2)], found, [""] * 2, [None] * 2)
    assert [cell.contrast.p_adjusted for cell in swept.cells if cell.contrast] == [0.08] * 2


def test_round_trip(swept):
    assert SweepResult.model_validate_json(swept.model_dump_json()) == swept
