"""Trials that fall behind end early, and who was faster plays no part."""

from __future__ import annotations

import pytest

from synaug_core.classify import tuning
from synaug_core.classify.search_space import TrialSpec
from synaug_core.classify.tuning import Pruned, below_median, value_at
from synaug_core.config import TuningConfig


def test_the_median_rule():
    assert not below_median(0.0, [1, 1, 1])
    assert below_median(0.4, [0.1, 0.5, 0.6, 0.7])
    assert not below_median(0.5, [0.5, 0.5, 0.5, 0.5])
    curve = {10: 0.1, 20: 0.2}
    assert value_at(curve, 5, carry=True) is None
    assert value_at(curve, 15, carry=False) == 0.1
    assert value_at(curve, 30, carry=True) == 0.2
    assert value_at(curve, 30, carry=False) is None
    assert value_at({}, 30, carry=True) is None


def _watched(search: tuning.Search, spec: TrialSpec, level: float) -> bool:
    """A trial of two arms whose scores stay at a level; True if it was pruned."""
    scores: list[float] = []
    try:
        for _ in range(2):
            told = tuning.watch(search, spec, steps=40, scores=scores)
            for step in (10, 20, 30, 40):
                told(step, level)
            scores.append(level)
    except Pruned:
        tuning.end_trial(search, spec, pruned=True)
        return True
    tuning.end_trial(search, spec, level)
    return False


def test_trials_behind_the_median_of_earlier_rounds_are_pruned(tmp_path):
    config = TuningConfig(trials=8, parallel=4, pruner="median", steps=40)
    search = tuning.open_study(str(tmp_path / "s"), "s", seed=1, config=config)
    levels = [0.5, 0.6, 0.7, 0.8, 0.3, 0.9, 0.64, 0.66]
    pruned = [_watched(search, spec, levels[spec.number]) for _ in range(2) for spec in tuning.ask(search)]
    assert pruned == [False] * 4 + [True, False, True, False]  # the median of the first round is 0.65
    rows = tuning.history(search)
    assert sorted(rows[0].curve) == [10, 20, 30, 40, 50, 60, 70, 80]
    assert sorted(rows[4].curve) == [10]
    assert rows[4].value == 0.3
    none = tuning.open_study(str(tmp_path / "n"), "n", seed=1, config=config.model_copy(update={"pruner": "none"}))
    assert not any(_watched(none, spec, levels[spec.number]) for _ in range(2) for spec in tuning.ask(none))


def test_the_running_score_is_the_best_so_far_and_the_mean_over_arms(tmp_path):
    search = tuning.open_study(
        str(tmp_path / "s"), "s", seed=1, config=TuningConfig(trials=11, parallel=2, pruner="none", steps=100)
    )
    spec = tuning.ask(search)[0]
    told = tuning.watch(search, spec, steps=100, scores=(0.5,))
    for step, score in ((10, 0.7), (20, 0.6), (30, 0.9)):
        told(step, score)
    curve = tuning.history(search)[0].curve
    assert curve == pytest.approx({110: 0.6, 120: 0.6, 130: 0.7})


def test_pruning_does_not_depend_on_who_was_faster(tmp_path):
    config = TuningConfig(trials=8, parallel=4, pruner="median", steps=40)
    levels = [0.5, 0.6, 0.7, 0.8, 0.3, 0.9, 0.64, 0.66]

    def outcome(name: str, *, backwards: bool):
        search = tuning.open_study(str(tmp_path / name), "s", seed=1, config=config)
        while specs := tuning.ask(search):
            for spec in reversed(specs) if backwards else specs:
                _watched(search, spec, levels[spec.number])
        return [(r.state, r.value, r.curve, r.parameters) for r in tuning.history(search)]

    assert outcome("one", backwards=False) == outcome("two", backwards=True)
