"""Which classifier a run has: named by any key of the network, or chosen; and how much `effort` does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from synaug_core.config import ClassifierConfig, Config
from synaug_core.config.effort import describe_effort, note_effort
from synaug_core.config.load import checked, load
from synaug_core.config.selection import CANDIDATES, SelectionConfig, candidate_config, list_candidates

OPEN = ClassifierConfig(backbone="auto", steps=70, prior_correction=0.5)


@pytest.mark.parametrize(
    ("section", "backbone"),
    [
        (None, "auto"),
        ({}, "auto"),
        ({"steps": 100, "augmentation": {"mirror": "none"}}, "auto"),
        ({"backbone": "auto"}, "auto"),
        ({"width": 16}, "small_cnn"),
        ({"learning_rate": 1e-3}, "small_cnn"),
        ({"backbone": "resnet18"}, "resnet18"),
        ({"training": "frozen"}, "tf_efficientnet_lite0"),
        ({"training": "frozen", "backbone": "auto"}, "tf_efficientnet_lite0"),
    ],
)
def test_a_network_that_nobody_names_is_chosen(section: Any, backbone: str) -> None:
    values = {"name": "x", "data": {"source": "digits"}} | ({} if section is None else {"classifier": section})
    config = checked(values)
    assert config.classifier.backbone == backbone
    assert config.classifier.is_named == (backbone != "auto")
    assert Config.model_validate(json.loads(config.model_dump_json())) == config


@pytest.mark.parametrize("override", ["classifier.training=frozen", "classifier.width=16", "classifier.pretrained=hub"])
def test_one_key_on_the_command_line_names_the_network(override: str) -> None:
    assert load("digits", [override]).classifier.is_named


def test_auto_is_no_way_of_training() -> None:
    with pytest.raises(ValueError, match="auto chooses the way of training and the weights too"):
        ClassifierConfig(backbone="auto", pretrained="hub")


@pytest.mark.parametrize("name", CANDIDATES)
@pytest.mark.parametrize("size", [28, 64, 224])
def test_a_candidate_has_all_but_the_network_from_the_configuration(name: str, size: int) -> None:
    candidate = candidate_config(OPEN, name, size)
    if candidate is None:
        assert size <= CANDIDATES[name].least
        return
    assert (candidate.steps, candidate.prior_correction) == (70, 0.5)
    assert candidate.is_named
    shown = candidate.shown_size(size)
    assert shown <= (CANDIDATES[name].largest or 224)
    if candidate.training == "scratch":
        assert shown <= size, "nothing is gained by enlarging what is learnt from scratch"


def test_candidates_are_those_with_weights_unless_they_are_named() -> None:
    assert list_candidates(SelectionConfig(candidates=("small_cnn",)), slow_too=False) == ("small_cnn",)
    names = list_candidates(SelectionConfig(), slow_too=False)
    assert {"frozen", "small_cnn", "small_cnn_64"} <= set(names)
    assert "frozen_quick" not in names
    assert set(list_candidates(SelectionConfig(), slow_too=True)) == {*names, "fine_tuned"}
    candidate = candidate_config(OPEN, "fine_tuned", 64)
    assert candidate is not None
    fresh = ClassifierConfig(training="fine_tuned")
    assert (candidate.learning_rate, candidate.warmup) == (fresh.learning_rate, fresh.warmup)
    with pytest.raises(ValueError, match="unknown candidate 'resnet'; known are frozen"):
        SelectionConfig(candidates=("resnet",))


def test_low_effort_leaves_out_what_takes_long_and_says_so() -> None:
    low, medium, high = (load("digits", [f"effort={effort}"]) for effort in ("low", "medium", "high"))
    assert low.selection.candidates == ("frozen_quick",)
    assert (low.tuning.trials, low.robustness.enabled) == (0, False)
    assert "picked" not in [arm.name for arm in low.arms]
    assert medium == load("digits")
    assert high.repetitions > medium.repetitions
    assert len(high.arms) > len(medium.arms)
    assert note_effort("low")
    assert not note_effort("medium")


def test_what_is_said_is_stronger_than_effort() -> None:
    config = load("digits", ["effort=low", "tuning.trials=3", "arms=[original, combined]", "generator.latent_dim=8"])
    assert (config.tuning.trials, len(config.arms), config.generator.latent_dim) == (3, 2, 8)
    assert config.generator.steps == load("digits", ["effort=low"]).generator.steps
    assert Config.model_validate(config.model_dump(mode="json")) == config


def test_the_sentence_before_the_start_counts_what_will_be_trained() -> None:
    low = describe_effort(load("digits", ["effort=low"]))
    title = CANDIDATES["frozen_quick"].title
    assert low.startswith(f"effort low: the classifier {title}, 6 arms with 36 trainings in all, no search.")
    folds = describe_effort(load("digits", ["data.split.folds=5", "repetitions=2", "classifier.width=16"]))
    assert "7 arms with 70 trainings in all, a search of 12 trials" in folds
    assert "choice of the classifier" not in folds
