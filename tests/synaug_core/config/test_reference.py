from __future__ import annotations

import json

import jsonschema
import pytest

from synaug_core.config import keys
from synaug_core.config.load import load, override, starting_values
from synaug_core.config.reference import describe_key, editor_schema, list_keys
from synaug_core.config.template import template
from synaug_core.config.yaml_text import parse
from synaug_core.errors import ConfigError

SCHEMA = json.loads(editor_schema())


def test_every_key_is_described_once_and_says_what_it_does():
    described = {key.name: key for key in list_keys()}
    assert len(described) == len(list_keys())
    assert [key.name for key in described.values() if not key.help] == []
    for name in keys.known_keys():
        assert name in described or describe_key(name), name


def test_defaults_and_examples_are_values_that_the_key_takes():
    for key in list_keys():
        if key.setting:
            name, _, value = key.setting.removeprefix("--set ").strip("'").partition("=")
            values = {"data": {"source": "digits"}}
            override(values, f"{name}={value}")
            assert value != key.default, key


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("data.small_classes", "data.small_classes"), ("tuning", "tuning"), ("arms.sampling", "arms[].sampling"),
        ("arms[].synthesis.alpha", "synthesis.alpha"), ("arms.synthesis.filters.limit", "synthesis.filters.limit"),
        ("generators.mine.steps", "generator.steps"), ("tuning.dropout.low", "tuning.learning_rate.low"),
    ],
)  # fmt: skip
def test_a_key_is_described_wherever_it_stands(name, first):
    assert describe_key(name)[0].name == first


def test_an_unknown_key_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown key data.smal; the nearest known key is data.small_classes"):
        describe_key("data.smal")


def test_the_schema_accepts_what_is_accepted_and_no_more(root):
    for file in sorted((root / "examples").glob("*.yaml")):
        jsonschema.validate(parse(file.read_text(), file.name), SCHEMA)
    for wrong in ({"repetitons": 3}, {"data": {"small_classes": "dropp"}}, {"repetitions": 0}, {"arms": ["controll"]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["data.small_classes=drop", "effort=low"],
        ["data.classes=[no, 'a: b', '1']", "tuning.learning_rate={low: 0.001, high: 0.01}", "arms=[control, combined]"],
        ["synthesis.strategy=prior", "generators.mine={kind: gan, steps: 50}", "data.per_class={cat: 5}"],
    ],
)
def test_a_template_means_what_was_chosen(tmp_path, overrides):
    (tmp_path / "images" / "cat").mkdir(parents=True)
    values = starting_values(str(tmp_path / "images"))
    for text in overrides:
        override(values, text)
    text = template(values, ["data: 3 images", "note: 100 % of them: #1"])
    (tmp_path / "images.yaml").write_text(text)
    assert load(str(tmp_path / "images.yaml")) == load(str(tmp_path / "images"), overrides)
    assert "# data: 3 images" in text.replace("#   data", "# data")
    assert "# image_size: null" in text
    assert "# tuning:\n#   # " in text or "tuning:\n" in text
