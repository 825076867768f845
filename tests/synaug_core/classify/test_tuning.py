from __future__ import annotations

import pytest

from synaug_core.classify import tuning
from synaug_core.classify.search_space import Tuned, as_configured
from synaug_core.config import HYPERPARAMETERS, ClassifierConfig, Range, TuningConfig
from synaug_core.errors import ConfigError
from tests.searches import CONFIG, finish, make


def test_rounds(tmp_path):
    search = tuning.open_study(str(tmp_path / "s"), "s", seed=1, config=CONFIG.model_copy(update={"trials": 5}))
    sizes = []
    while specs := tuning.ask(search):
        assert tuning.ask(search) == specs  # not told yet: the same ones
        sizes.append([s.number for s in specs])
        for spec in specs:
            make(search, spec)
    assert sizes == [[0, 1], [2, 3], [4]]
    assert [r.round for r in tuning.history(search)] == [0, 0, 1, 1, 2]


def test_values_lie_in_their_ranges_and_open_ones_stay_open(whole, tmp_path):
    for _, values in whole:
        for name, value in values.items():
            space = CONFIG.spaces()[name]
            assert space.low <= value <= space.high if isinstance(space, Range) else value in space
    narrow = CONFIG.model_copy(update={"dropout": None, "synthetic_share": None, "trials": 1})
    (spec,) = tuning.ask(tuning.open_study(str(tmp_path / "s"), "s", seed=1, config=narrow))
    assert spec.parameters.values.get("dropout") is None
    assert spec.parameters.values.get("synthetic_share") is None
    assert "dropout" not in spec.parameters.values


def test_no_trials(storage):
    search = tuning.open_study(storage, "s", seed=1, config=CONFIG.model_copy(update={"trials": 0}))
    assert tuning.ask(search) == ()
    assert tuning.find_best_trial(search) is None
    assert tuning.history(search) == ()
    assert tuning.importance(search) == {}


def test_both_storages_suggest_the_same(storage, whole):
    assert finish(tuning.open_study(storage, "s", seed=5, config=CONFIG)) == whole


def test_other_seeds_and_later_trials_differ(tmp_path, whole):
    other = finish(tuning.open_study(str(tmp_path / "s"), "s", seed=6, config=CONFIG))
    assert other != whole
    assert len({tuple(v.values()) for _, v in whole}) == len(whole)


def test_the_order_of_telling_is_no_matter(tmp_path, whole):
    search = tuning.open_study(str(tmp_path / "s"), "s", seed=5, config=CONFIG)
    while specs := tuning.ask(search):
        for spec in reversed(specs):
            make(search, spec)
    assert [(r.number, r.parameters.model_dump()) for r in tuning.history(search)] == whole


def test_more_trials_continue_a_study(tmp_path, whole):
    place = str(tmp_path / "s")
    fewer = CONFIG.model_copy(update={"trials": 6})
    assert finish(tuning.open_study(place, "s", seed=5, config=fewer)) == whole[:6]
    assert finish(tuning.open_study(place, "s", seed=5, config=CONFIG)) == whole


def test_saying_it_twice_counts_once(storage):
    search = tuning.open_study(storage, "s", seed=1, config=CONFIG)
    one, two = tuning.ask(search)
    for value in (0.5, 0.9):
        tuning.report(search, one, 10, value)
        tuning.end_trial(search, one, value)
        tuning.end_trial(search, two, pruned=True)
    tuning.report(search, one, 20, 0.7)
    rows = tuning.history(search)
    assert [(r.state, r.value) for r in rows] == [("complete", 0.5), ("pruned", None)]
    assert rows[0].curve == {10: 0.5}
    assert tuning.find_best_trial(search).number == 0


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_value_must_be_finite(tmp_path, value):
    search = tuning.open_study(str(tmp_path / "s"), "s", seed=1, config=CONFIG)
    spec = tuning.ask(search)[0]
    with pytest.raises(ValueError, match="finite"):
        tuning.end_trial(search, spec, value)


def test_best_is_the_first_of_the_highest(tmp_path):
    search = tuning.open_study(str(tmp_path / "s"), "s", seed=1, config=CONFIG.model_copy(update={"trials": 4}))
    values = iter((0.2, 0.8, 0.8, 0.1))
    while specs := tuning.ask(search):
        for spec in specs:
            tuning.end_trial(search, spec, next(values))
    found = tuning.find_best_trial(search)
    assert (found.number, found.value) == (1, 0.8)
    assert found.parameters == tuning.history(search)[1].parameters


def test_the_first_trial_may_be_the_configured_values(tmp_path):
    classifier = ClassifierConfig(learning_rate=0.5, dropout=0.25)
    first = as_configured(classifier)
    search = tuning.open_study(str(tmp_path / "s"), "s", seed=1, config=CONFIG, initial=first)
    found = tuning.ask(search)[0].parameters.values
    assert found["dropout"] == 0.25
    assert found["synthetic_share"] == 1.0
    assert found["learning_rate"] == CONFIG.spaces()["learning_rate"].high  # moved into its range
    assert (found["mirror"], found["rotation"]) == ("horizontal", 30.0)
    assert CONFIG.rotation == (15.0, 180.0), "a configured value that is no choice becomes one"
    later = [tuning.ask(search)[0].parameters.values["rotation"]]
    while specs := tuning.ask(search):
        for spec in specs:
            later.append(spec.parameters.values["rotation"])
            make(search, spec)
    assert set(later) == {15.0, 30.0, 180.0}


def test_the_model_is_learnt_from(tmp_path):
    """After random trials the sampler goes where the objective is high."""
    config = TuningConfig(trials=30, parallel=2, pruner="none", steps=30)
    search = tuning.open_study(str(tmp_path / "s"), "s", seed=5, config=config)
    finish(search)
    values = [r.value for r in tuning.history(search)]
    assert sum(values[20:]) / 10 > sum(values[:6]) / 6 + 0.03
    shares = tuning.importance(search)
    assert sum(shares.values()) == pytest.approx(1)
    assert next(iter(shares)) in ("learning_rate", "dropout")


def test_importance_survives_few_and_equal_trials(tmp_path):
    search = tuning.open_study(str(tmp_path / "s"), "s", seed=5, config=CONFIG)
    for _ in range(6):
        assert tuning.importance(search) == {}
        for spec in tuning.ask(search):
            tuning.end_trial(search, spec, 0.5)
    assert tuning.importance(search) == {}


def test_what_is_found_is_applied():
    config = ClassifierConfig()
    found = Tuned(learning_rate=0.01, augmentation_strength=0.4, synthetic_share=0.3).apply(config)
    assert found.learning_rate == 0.01
    assert found.augmentation.strength == 0.4
    assert found.augmentation.rotation == config.augmentation.rotation
    assert found.dropout == config.dropout
    assert Tuned().apply(config) == config


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_what_is_searched_is_read_where_it_is_set(name):
    entry = HYPERPARAMETERS[name]
    value = "both" if name == "mirror" else 0.5
    changed = entry.set(ClassifierConfig(), value)
    assert entry.read(changed) == (1.0 if entry.key is None else value)
    assert entry.set(changed, entry.read(ClassifierConfig())) == ClassifierConfig()
    assert CONFIG.spaces()[name] == (entry.ranges["scratch"] if entry.ranges else getattr(CONFIG, name))


def test_values_are_stored_under_their_names_as_version_0_1_0_did():
    stored = {
        "learning_rate": 0.01,
        "weight_decay": None,
        "dropout": None,
        "augmentation_strength": None,
        "synthetic_share": 0.3,
    }
    assert Tuned.model_validate(stored) == Tuned(learning_rate=0.01, synthetic_share=0.3)
    newer = dict.fromkeys(("mirror", "rotation", "color", "operation"))
    assert Tuned.model_validate(stored).model_dump() == stored | newer
    values = Tuned(dropout=0.1, mirror="none", rotation=15)
    assert Tuned.model_validate_json(values.model_dump_json()) == values
    assert values.values == {"dropout": 0.1, "mirror": "none", "rotation": 15.0}
    assert (values.synthetic_share, Tuned(synthetic_share=0.3).synthetic_share) == (1.0, 0.3)
    with pytest.raises(ValueError, match="momentum"):
        Tuned(momentum=0.9)


@pytest.mark.parametrize(
    ("name", "space", "message"),
    [
        ("dropout", Range(low=0, high=1), r"tuning.dropout.high: 1 is not a possible dropout"),
        ("learning_rate", Range(low=0, high=1), r"tuning.learning_rate.low: 0"),
        ("synthetic_share", Range(low=0, high=2), r"tuning.synthetic_share.high: 2"),
        ("augmentation_strength", Range(low=-1, high=2), r"tuning.augmentation_strength.low: -1"),
        ("rotation", (15.0, 200.0), r"tuning.rotation\[1\]: 200 is not a possible largest rotation"),
        ("mirror", ("none", "diagonal"), r"tuning.mirror\[1\]: diagonal is not a possible mirroring"),
    ],
)
def test_impossible_spaces(tmp_path, name, space, message):
    with pytest.raises(ConfigError, match=message):
        tuning.open_study(str(tmp_path / "s"), "s", seed=1, config=CONFIG.model_copy(update={name: space}))


def test_a_study_keeps_its_settings(storage):
    tuning.open_study(storage, "s", seed=1, config=CONFIG)
    with pytest.raises(ConfigError, match="made with other settings"):
        tuning.open_study(storage, "s", seed=2, config=CONFIG)
    with pytest.raises(ConfigError, match="made with other settings"):
        tuning.open_study(storage, "s", seed=1, config=CONFIG.model_copy(update={"parallel": 3}))


def test_storages_that_cannot_be_opened(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (
        str(tmp_path / "file" / "below.log"),
        "postgresql://someone:secret@127.0.0.1:9/x",
        "nonsense://someone:secret@x/y",
    ):
        with pytest.raises(ConfigError, match="cannot be opened") as caught:
            tuning.open_study(place, "s", seed=1, config=CONFIG)
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None
