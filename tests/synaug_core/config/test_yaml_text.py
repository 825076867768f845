from __future__ import annotations

import math
from typing import Any

import pytest

from synaug_core.config.yaml_text import parse
from synaug_core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        (".5", 0.5),
        (".5e3", 500.0),
        ("'.5'", ".5"),
        ("0x1F", "0x1F"),
        ("{<<: a, b: =}", {"<<": "a", "b": "="}),
        ("-3", -3),
        ("1_000", 1000),
        ("-.inf", -math.inf),
        ("yes", "yes"),
        ("no", "no"),
        ("off", "off"),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("007", "007"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("'1'", "1"),
        ("{1: a, no: b}", {"1": "a", "no": "b"}),
        ("[a, [1, {b: 2.0}]]", ["a", [1, {"b": 2.0}]]),
    ],
)
def test_scalars_are_what_they_look_like(text: str, value: Any) -> None:
    found = parse(text, "here")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\nb: 2\na: 3\n", "here, line 3, column 1: cannot be read as YAML: the key 'a' occurs twice"),
        ("{a: {b: 1, b: 2}}", "the key 'b' occurs twice"),
        ("a: &x 1\nb: *x\n", "aliases (*name) are not read"),
        ("!!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: [1, 2", "line"),
        ("{[1, 2]: 3}", "a key must be a word"),
        (": 3", "a key must be a word"),
        ("a: b: c", "mapping values are not allowed here"),
        ("a\x00b", "not a YAML text"),
        ("[" * 5000, "nested too deeply"),
        ("a: 1\n---\nb: 2\n", "found another document"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "here")
    line = str(caught.value)
    assert line.startswith("here")
    assert "\n" not in line
    if reason != "line":
        assert reason in line


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))]
    with pytest.raises(ConfigError, match="aliases"):
        parse("\n".join(lines), "here")
