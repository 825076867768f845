"""The positive control: real held-back images."""

from __future__ import annotations

import json

import pytest
import torch

from synaug_core.config import SynthesisConfig
from synaug_core.errors import ConfigError, DataError
from synaug_core.synthesis import registry
from synaug_core.synthesis.make import synthesise
from synaug_core.synthesis.oracle import oracle
from synaug_core.synthesis.strategy import Source
from synaug_core.testing.conformance import make_images

CONFIG = SynthesisConfig(strategy="oracle")
SPARE = make_images({"large": 0, "small": 9, "single": 4, "other": 2}, 1, 16)


def test_it_gives_the_held_back_images_as_many_as_planned_and_as_there_are(train):
    made = synthesise(None, train, {"small": 6, "single": 7}, CONFIG, seed=1, held_back=SPARE)
    assert made.images.counts() == {"large": 0, "small": 6, "single": 4, "other": 0}
    assert torch.equal(made.images.of_class("small").images, SPARE.of_class("small").images[:6])
    assert torch.equal(made.images.of_class("single").images, SPARE.of_class("single").images)
    assert made.images.is_synthetic().all()
    assert made.images.ids[0] == "synthetic/small/0"
    origin = json.loads(made.images.provenance[0])
    assert origin == {
        "generator": None,
        "strategy": "oracle",
        "parents": [],
        "held_back": SPARE.of_class("small").ids[0],
    }
    assert [made.funnel[c].filled for c in ("small", "single")] == [True, False]
    assert made.funnel["single"].model_dump(include={"planned", "generated", "accepted"}, by_alias=False) == {
        "planned": 7, "generated": 4, "accepted": 4,
    }  # fmt: skip


def test_a_class_of_which_none_is_held_back_gets_none(train):
    made = synthesise(None, train, {"small": 2, "large": 3}, CONFIG, seed=1, held_back=SPARE)
    assert made.images.counts()["large"] == 0
    assert not made.funnel["large"].filled


@pytest.mark.parametrize("held_back", [None, SPARE])
def test_without_any_held_back_image_it_says_what_to_do(train, held_back):
    with pytest.raises(DataError, match=r"^no real image of large is left out of training.*lower data.per_class"):
        synthesise(None, train, {"large": 3}, CONFIG, seed=1, held_back=held_back)


def test_it_needs_neither_generator_nor_judge_and_never_repeats(train):
    entry = registry.find("oracle")
    assert (entry.generator, entry.latent, entry.target, entry.copies, entry.held_back) == (*[False] * 3, True, True)
    with pytest.raises(ConfigError, match="10 images of small are not held back"):
        oracle(Source("small", train.of_class("small"), held_back=SPARE.of_class("small")), 10, CONFIG, seed=1)
