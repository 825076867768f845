"""Hostile configurations."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Iterator
from typing import Any

from corpus.cases import Case, Trap, mutated


def yaml(rng: random.Random) -> Iterator[Case]:
    laughs = "a: &a [x, x]\n" + "".join(
        f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefghijklmnop", "bcdefghijklmnopq", strict=True)
    )
    texts = [
        laughs, "&a [*a]", "a: &a\n  b: *a", "<<: {a: 1}", "!!python/object/apply:os.system ['touch TRAP']",
        "name: !!python/name:os.system", "name: !!python/object:object {}",
        "name: !!python/object/new:os.system [touch TRAP]", "name: !!python/module:os", "!!set {a, b}", "!!binary aGk=",
        "name: !!timestamp 2020-01-01", "!evil x", "!<tag:yaml.org,2002:python/none> x", "%YAML 9.9\n---\na: 1",
        "%TAG ! tag:evil,2000:\n---\n!x a", "---\n---\n", "a: 1\n---\nb: 2", "[" * 300, "[" * 20_000, "{" * 5000,
        "- " * 5000, "a: " * 500, "? " * 2000, "? [a]\n: b", "? {a: b}\n: c", "{[a]: b}", "name: a\nname: b",
        "data: {source: digits, source: digits}", "seed: " + "9" * 5000, "seed: " + "9" * 300_000, "seed: 1e999",
        "seed: .inf", "seed: -.inf", "seed: .nan", "seed: 0x10", "seed: 1_000", "seed: -0", "seed: " + "9" * 30,
        "repetitions: 1e308", "repetitions: 99999999999999999999", "generator: {steps: 1e400}", "name: \x00",
        "name: \x1b[31m", "name: \u2028", "name: '\ud800'", "\ufeffname: a", "\t", "a:\tb\n\tc", "@", "`", "%", "",
        "null", "~", "42", "text", "[]", "{}", "- a", "true", "name: |\n" + "  x\n" * 20_000,
        "name: >\n  " + "x" * 100_000, "x" * 300_000, "a: b: c", "'", '"', "a: 'b", "# only a comment", "--- !!map {}",
        "&", "*", "*a", "&a", "!!", "!!int x", "seed: !!int abc", "seed: !!float x", "seed: !!bool maybe",
        "name: !!null x", "seed: !!int ''", "arms: !!omap [a: 1]", "arms: !!pairs [a: 1]", "!!str {a: b}",
        "!!seq {a: b}", "!!map [a]", "!!int [1]", "!!bool {}", "data: {source: digits}\narms: [original, original]",
        "arms: []", "arms: [[[[]]]]", "arms: [{name: ../x}]", "arms: [{}]", "arms: [null]",
        "arms: " + json.dumps(["original"] * 5000), "generators: {../x: {}}", "generators: {'': {}}",
        "generators: {a: null}", "data: {classes: [[], {}]}", "data: {classes: [null]}", "data: {source: ''}",
        "data: {source: /dev/zero}", "data: {source: /dev/stdin}", "data: {source: /proc/self/mem}",
        "data: {source: ~nobodyatall}", "data: {source: \"a\\0b\"}", "data: {metadata: /dev/zero}",
        "data: {metadata: \"a\\0b\"}", "data: {metadata: ~nobodyatall/x}", "classifier: {weights_file: /dev/zero}",
        "classifier: {weights_file: \"a\\0b\"}", "classifier: {weights_file: ~nobodyatall/x}",
        "data: {source: " + "a" * 5000 + "}", "data: {metadata: " + "a" * 5000 + "}",
        "classifier: {weights_file: " + "a/" * 5000 + "}", "classifier: {backbone: ../../etc}",
        "classifier: {backbone: 'hf-hub:evil/model'}", "generator: {kind: os.system}", "__class__: x",
        "model_config: {}", "name: ../../x", "name: " + "a" * 10_000, "name: {}", "name: [a]", "\"data\\0\": 1",
        "data.source: digits", "synthesis: {counts: {\"\\e[2J\": 5}}", "? \n: 1", ": 1", "{a", "a: {b", "a: ]", "a: }",
        "- -", "? ?",
    ]  # fmt: skip
    for n, text in enumerate(texts):
        yield Case("yaml", f"text-{n}", {"x.yaml": text.encode("utf-8", "surrogatepass")})
    for n, data in enumerate(
        (
            b"\xff\xfe\x00",
            b"\x80abc",
            bytes(range(256)),
            "name: é".encode("latin-1"),
            "name: a".encode("utf-16"),
            "name: a".encode("utf-32"),
            pickle.dumps(Trap()),
            bytes(1000),
            b"a: \xed\xa0\x80",
        )
    ):
        yield Case("yaml", f"bytes-{n}", {"x.yaml": data})
    valid = (
        b"name: x\ndata: {source: digits, classes: [1, 2]}\narms: [original, {name: y, sampling: balanced}]\n"
        b"seed: 3\ngenerator:\n  steps: 20\n"
    )
    for n in range(40):
        yield Case("yaml", f"mutated-{n}", {"x.yaml": mutated(valid, rng)})


_WRONG: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 1.5, "", "x", "\x00", "../..", "$(touch TRAP)", [], [[]], {}, {"": 1}, {"a": {"b": {}}},
    [None] * 50, "é" * 500, {"__class__": 1}, [{"name": 3}],
)  # fmt: skip


def wrong_types(rng: random.Random) -> Iterator[Case]:
    """Every known key with values that it may not take."""
    from synaug_core.config.keys import known_keys

    for key in known_keys():
        for value in rng.sample(_WRONG, 2):
            inner: Any = value
            for part in reversed(key.split(".")):
                part, listed = part.removesuffix("[]"), part.endswith("[]")
                inner = {"own" if part == "*" else part: [inner] if listed else inner}
            yield Case("yaml", f"{key}={str(value)[:12]}", {"x.yaml": json.dumps(inner).encode()})


def sweeps(rng: random.Random) -> Iterator[Case]:
    value: Any
    for n, value in enumerate((
        None, 3, "x", [], {}, {"": [1]}, {"seed": 3}, {"seed": []}, {"seed": {}}, {"seed": [1, 1]}, {"seed": ["a"]},
        {"seed": [None]}, {"nonsense": [1]}, {"sweep": [1]}, {"seed": list(range(501))},
        {"seed": list(range(30)), "repetitions": list(range(30))}, {"data.source": ["/dev/zero"]},
        {"data.source": ["../../x"]}, {"data": [{}]}, {"data": [3]}, {"data..source": [1]}, {".": [1]},
        {"arms": [["original"]]}, {"arms[0]": [1]}, {"arms[].name": ["x"]}, {"generators.*": [1]},
        {"generators.a": [None]}, {"seed": [[1], [2]]}, {"seed": {"../..": 1}}, {"seed": {"\x1b[2J": 1}},
        {"name": ["../x"]}, {"data.per_class": [10**40]}, {"__class__": [1]}, {"data.__class__": [1]},
        {"seed": {"a": {"b": "c"}}}, {"sweep.seed": [1]}, {"data.source.x": [1]}, {"seed.x": [1]}, {"\x00": [1]},
        {"x" * 9999: [1]},
    )):  # fmt: skip
        text = json.dumps({"data": {"source": "digits"}, "sweep": value})
        yield Case("sweep", f"sweep-{n}", {"x.yaml": text.encode()})
