import dataclasses
import json

import pytest
import torch

from synaug_core.config import SynthesisConfig
from synaug_core.errors import ConfigError, DataError
from synaug_core.synthesis.make import synthesise

ALL = SynthesisConfig(filters=None)
PLAN = {"large": 0, "small": 13, "single": 19, "other": 17}


def test_the_planned_images_of_the_generator_s_classes_are_made(generator, train):
    calls = []
    made = synthesise(
        generator, train, PLAN, ALL, seed=1, progress=lambda done, total, **v: calls.append((done, total))
    ).images
    assert made.classes == train.classes
    assert made.counts() == {"large": 0, "small": 13, "single": 19, "other": 0}
    assert made.ids[:2] == ("synthetic/small/0", "synthetic/small/1")
    assert len(set(made.ids)) == 32
    assert calls == [(13, 32), (32, 32)]


def test_provenance_names_the_parents(generator, train):
    made = synthesise(generator, train, PLAN, ALL, seed=1).images
    origin = json.loads(made.provenance[0])
    assert origin.keys() == {"generator", "strategy", "parents", "alpha"}
    assert (origin["generator"], origin["strategy"]) == ("vae", "interpolate")
    assert all(parent.startswith("small/") for parent in origin["parents"])
    assert made.groups[0] == "+".join(sorted(origin["parents"]))


def test_images_of_one_group_join_no_other(generator, train):
    grouped = dataclasses.replace(train, groups=("patient",) * len(train))
    made = synthesise(generator, grouped, PLAN, ALL, seed=1).images
    assert set(made.groups) == {"patient"}


def test_samples_of_the_prior_have_groups_of_their_own(generator, train):
    made = synthesise(generator, train, PLAN, SynthesisConfig(strategy="prior", filters=None), seed=1).images
    assert made.groups == made.ids
    assert json.loads(made.provenance[0])["parents"] == []


def test_a_class_does_not_depend_on_the_others_or_on_their_numbers(generator, train):
    both = synthesise(generator, train, PLAN, ALL, seed=1).images
    alone = synthesise(generator, train, {"single": 9}, ALL, seed=1).images
    assert torch.equal(both.of_class("single").images[:9], alone.images)
    assert both.of_class("single").ids[:9] == alone.ids


def test_nothing_planned_is_an_empty_set(generator, train):
    made = synthesise(generator, train, {"other": 4}, ALL, seed=1).images
    assert len(made) == 0
    assert made.images.shape[1:] == train.images.shape[1:]


def test_class_names_become_ids_that_stores_take(generator, train):
    classes = ("large", "small", "single", "a/b c")
    renamed = dataclasses.replace(train, classes=classes)
    made = synthesise(generator, renamed, {"small": 1}, ALL, seed=1).images
    assert made.classes == classes


def test_unknown_strategies_and_missing_images_are_refused(generator, train):
    with pytest.raises(ConfigError, match="unknown strategy"):
        synthesise(generator, train, PLAN, SynthesisConfig(strategy="dream"), seed=1)
    without = train.take(train.labels != 1)
    with pytest.raises(DataError, match="'small' has no training images"):
        synthesise(generator, without, PLAN, ALL, seed=1)
