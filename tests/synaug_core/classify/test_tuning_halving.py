"""All trials on a part of the steps, the best on all of them; kills and the order of results change nothing."""

from __future__ import annotations

import pytest

from synaug_core.classify import tuning
from synaug_core.classify.search_space import TrialSpec, Tuned, list_rungs
from synaug_core.config import TuningConfig
from synaug_core.errors import ConfigError
from tests.searches import value

CONFIG = TuningConfig(trials=12, parallel=3, steps=40)
"""12 trials of 10 steps, then 3 of 40."""


def _opened(tmp_path, name="s", config=CONFIG):
    return tuning.open_study(str(tmp_path / name), "s", seed=3, config=config)


def _score(spec: TrialSpec) -> float:
    return value(spec) + spec.steps / 1000


def _run(search, *, backwards=False, most=10**6) -> list[list[tuple[int, int]]]:
    """Make up to `most` trainings; the batches that were asked for."""
    batches = []
    while most and (specs := tuning.ask(search)):
        batches.append([(s.number, s.steps) for s in specs])
        for spec in list(reversed(specs) if backwards else specs)[:most]:
            tuning.end_trial(search, spec, _score(spec))
            most -= 1
    return batches


def test_the_best_of_the_first_rung_make_all_steps(tmp_path):
    search = _opened(tmp_path)
    batches = _run(search)
    assert [[number for number, _ in batch] for batch in batches[:4]] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert {steps for batch in batches[:4] for _, steps in batch} == {10}
    rows = tuning.history(search)
    best = sorted(sorted(range(12), key=lambda n: -rows[n].curve[10])[:3])
    assert batches[4:] == [[(number, 40) for number in best]]
    assert [r.number for r in rows if r.state == "complete"] == best
    assert {r.state for r in rows} == {"complete", "pruned"}
    winner = tuning.find_best_trial(search)
    assert (
        winner.value == max(r.value for r in rows if r.state == "complete") == pytest.approx(rows[winner.number].value)
    )
    assert tuning.ask(search) == ()
    assert [(s.number, s.steps) for s in tuning.list_ended_trials(search)] == [
        *((n, 10) for n in range(12)),
        *((n, 40) for n in best),
    ]


def test_the_winner_is_chosen_on_the_last_rung(tmp_path):
    search = _opened(tmp_path)
    while specs := tuning.ask(search):
        for spec in specs:
            early, late = 0.5 + spec.number / 100, 0.9 - spec.number / 100
            tuning.end_trial(search, spec, early if spec.steps == 10 else late)
    winner = tuning.find_best_trial(search)
    assert (winner.number, winner.value) == (9, pytest.approx(0.81))  # 9, 10 and 11 went on


def test_the_initial_values_are_always_tried_with_all_steps(tmp_path):
    initial = Tuned(values={"learning_rate": 1e-3})
    search = tuning.open_study(str(tmp_path / "s"), "s", seed=3, config=CONFIG, initial=initial)
    while specs := tuning.ask(search):
        for spec in specs:
            tuning.end_trial(search, spec, 0.5 + spec.number / 100 if spec.steps == 10 else 0.7)
    assert [s.number for s in tuning.list_ended_trials(search) if s.steps == 40] == [0, 10, 11]
    assert tuning.find_best_trial(search).number == 0, "among equals they stay"


@pytest.mark.parametrize("most", [1, 4, 11, 12, 13, 14])
def test_a_killed_search_goes_on_to_the_same_trials(tmp_path, most):
    whole = _opened(tmp_path, "whole")
    _run(whole)
    _run(_opened(tmp_path, "killed"), backwards=True, most=most)
    again = _opened(tmp_path, "killed")
    _run(again, backwards=True)
    assert tuning.history(again) == tuning.history(whole)


def test_a_trial_that_diverges_makes_room_and_ends(tmp_path):
    search = _opened(tmp_path)
    early = {}
    while specs := tuning.ask(search):
        for spec in specs:
            diverges = spec.number in (0, 1) if spec.steps == 10 else len(early) == 0
            early.setdefault(spec.number, spec.steps) if spec.steps == 40 else None
            tuning.end_trial(search, spec, None if diverges else _score(spec), pruned=diverges)
    rows = tuning.history(search)
    assert [r.state for r in rows[:2]] == ["pruned", "pruned"]
    assert [r.curve for r in rows[:2]] == [{}, {}]
    assert not set(early) & {0, 1}
    assert tuning.find_best_trial(search) is not None


def test_when_all_diverge_nothing_goes_on(tmp_path):
    search = _opened(tmp_path)
    while specs := tuning.ask(search):
        for spec in specs:
            tuning.end_trial(search, spec, pruned=True)
    assert tuning.find_best_trial(search) is None
    assert len(tuning.list_ended_trials(search)) == 12


def test_equal_scores_go_on_by_number(tmp_path):
    search = _opened(tmp_path)
    while (specs := tuning.ask(search)) and specs[0].steps == 10:
        for spec in specs:
            tuning.end_trial(search, spec, 0.5)
    assert [s.number for s in specs] == [0, 1, 2]


def test_what_is_suggested_is_learnt_on_the_first_rung(tmp_path):
    """The same trials as in a search of short trainings alone, whatever the last rung says."""
    short = CONFIG.model_copy(update={"pruner": "none", "steps": 10})
    one, two = _opened(tmp_path, "halving"), _opened(tmp_path, "short", short)
    _run(one)
    _run(two)
    assert [r.parameters for r in tuning.history(one)] == [r.parameters for r in tuning.history(two)]
    assert tuning.importance(one) == tuning.importance(two) != {}


def test_saying_it_twice_counts_once(tmp_path):
    search = _opened(tmp_path)
    spec = tuning.ask(search)[0]
    for score in (0.5, 0.9):
        tuning.end_trial(search, spec, score)
    assert tuning.history(search)[0].curve == {10: 0.5}
    assert tuning.history(search)[0].state == "running"


def test_running_scores_are_not_reported(tmp_path):
    search = _opened(tmp_path)
    spec = tuning.ask(search)[0]
    tuning.watch(search, spec, steps=10)(10, 0.7)
    assert tuning.history(search)[0].curve == {}


def test_a_study_with_other_rungs_is_another_one(tmp_path):
    _opened(tmp_path)
    more = CONFIG.model_copy(update={"trials": 20})
    assert list_rungs(more) != list_rungs(CONFIG)
    with pytest.raises(ConfigError, match="other settings"):
        _opened(tmp_path, config=more)
