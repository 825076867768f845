from __future__ import annotations

import pytest

from synaug_core.classify.search_space import list_rungs, note_unsearched, searched_arms
from synaug_core.config import (
    NAMED_ARMS,
    STANDARD_ARMS,
    ArmConfig,
    ClassifierConfig,
    Config,
    OnlineConfig,
    Range,
    SynthesisConfig,
    TuningConfig,
)

VAE = STANDARD_ARMS["combined"].model_copy(update={"name": "vae"})
COPIES = ArmConfig(name="copies", synthesis=SynthesisConfig(strategy="duplicate"))
ONLINE = ArmConfig(name="online", online=OnlineConfig())
STRONG = ArmConfig(name="strong", augmentation="strong")
ARMS = NAMED_ARMS | {"strong": STRONG} | {arm.name: arm for arm in (VAE, COPIES, ONLINE)}
ALWAYS = ["learning_rate", "weight_decay", "dropout"]
AUGMENTING = ["augmentation_strength", "mirror", "rotation"]


@pytest.mark.parametrize(
    ("names", "searched"),
    [
        (["original"], []),
        (["original", "balanced"], []),
        (["original", "traditional"], AUGMENTING),
        (["original", "strong"], [*AUGMENTING, "color", "operation"]),
        (["original", "synthetic"], ["synthetic_share"]),
        (["control", "combined"], [*AUGMENTING, "synthetic_share"]),
        (["online"], []),  # what is made inside the training is not planned
    ],
)
def test_what_no_arm_uses_is_not_searched(names, searched):
    narrow = TuningConfig().narrowed_to([ARMS[name] for name in names])
    assert list(narrow.spaces()) == ALWAYS + searched
    assert narrow.narrowed_to(list(ARMS.values())) == narrow, "what was left out stays out"
    assert TuningConfig(dropout=None).narrowed_to([VAE]).dropout is None


def test_frozen_nothing_of_a_loop_is_searched_and_no_trial_is_made_in_parts():
    narrow = TuningConfig(steps=10).narrowed_to([ARMS["control"], ARMS["combined"]], "frozen")
    assert list(narrow.spaces()) == ["synthetic_share"], "and views of other augmentations are too dear"
    assert list_rungs(narrow) == ((12, 10),)
    assert TuningConfig().narrowed_to([ARMS["original"]], "frozen").trials == 1
    assert TuningConfig(trials=0).narrowed_to([ARMS["original"]], "frozen").trials == 0


def test_each_way_of_training_searches_its_own_rates():
    arms = [ARMS["control"], ARMS["combined"]]
    scratch, tuned, frozen = (TuningConfig().narrowed_to(arms, way) for way in ("scratch", "fine_tuned", "frozen"))
    assert scratch.learning_rate == TuningConfig().spaces()["learning_rate"] == Range(low=5e-4, high=3e-2, log=True)
    assert tuned.learning_rate == TuningConfig().spaces("fine_tuned")["learning_rate"]
    assert tuned.learning_rate.high < scratch.learning_rate.high
    assert tuned.learning_rate.low < ClassifierConfig(training="fine_tuned").learning_rate < tuned.learning_rate.high
    assert list(tuned.spaces()) == list(scratch.spaces()) == [*ALWAYS, *AUGMENTING, "synthetic_share"]
    assert list_rungs(tuned.model_copy(update={"steps": 80})) == ((12, 20), (3, 80))
    assert frozen.learning_rate is None
    given = Range(low=1e-3, high=2e-3)
    for way in ("scratch", "fine_tuned"):
        assert TuningConfig(learning_rate=given).narrowed_to(arms, way).learning_rate == given
        assert TuningConfig(learning_rate=None).narrowed_to(arms, way).learning_rate is None
    stored = TuningConfig.model_validate_json(tuned.model_dump_json())
    assert stored == tuned
    assert stored.narrowed_to(arms, "fine_tuned") == tuned


@pytest.mark.parametrize(
    ("arms", "wanted", "searched"),
    [
        (list(STANDARD_ARMS), None, ["control", "combined"]),
        (["combined", "control"], None, ["combined", "control"]),  # in the run's order
        (["original", "control", "copies", "vae"], None, ["control", "vae"]),
        (["original", "traditional", "copies"], None, ["original", "copies"]),
        (["copies", "online", "control"], None, ["online", "control"]),
        (["control", "oracle"], None, ["control"]),  # real held-back images stand for no synthetic ones
        (["oracle"], None, ["oracle"]),
        (["vae", "control"], ["control"], ["control"]),
        (["original", "vae"], ["vae", "combined"], ["vae"]),
        (["original", "vae"], ["balanced"], ["original"]),  # missing from this run
    ],
)
def test_the_arms_of_a_shared_search(arms, wanted, searched):
    config = TuningConfig() if wanted is None else TuningConfig(arms=wanted)
    assert [arm.name for arm in searched_arms(config, [ARMS[name] for name in arms])] == searched
    Config(arms=[ARMS[name] for name in arms], tuning=config)


def test_arms_that_were_tuned_for_others_are_named():
    def note(names, **settings):
        return note_unsearched(TuningConfig(**settings), [ARMS[name] for name in names])

    assert note(STANDARD_ARMS) == note(["original", "control"]) == note(["control", "online"]) == ()
    told = (
        "arms copies and vae use hyper-parameters that were tuned for control: no arm with synthetic images was "
        "searched (tuning.arms)"
    )
    assert note(["control", "copies", "vae"], arms=["control"]) == (told,)
    assert note(["control", "copies", "vae"], arms=["control"], scope="per_arm") == ()
    assert note(["control", "copies", "vae"], arms=["control"], trials=0) == ()
    assert note(["control", "oracle"])[0].startswith("arm oracle uses hyper-parameters that were tuned for control")


def test_rungs():
    def rungs(trials, steps=300, pruner="halving"):
        return [tuple(rung) for rung in list_rungs(TuningConfig(trials=trials, steps=steps, pruner=pruner))]

    assert rungs(12) == [(12, 75), (3, 300)]
    assert rungs(13, 10) == [(13, 3), (4, 10)]
    assert rungs(2) == [(2, 75), (2, 300)]
    assert rungs(4) == [(4, 75), (2, 300)]
    assert rungs(1) == [(1, 300)]
    assert rungs(12, 1) == [(12, 1)]
    assert rungs(12, pruner="median") == rungs(12, pruner="none") == [(12, 300)]
    with pytest.raises(ValueError, match="steps"):
        list_rungs(TuningConfig())
