"""Hostile models, judges, checkpoints and weights."""

from __future__ import annotations

import json
import pickle
import random
import struct
from collections.abc import Iterator
from typing import Any

from corpus.archives import zipped
from corpus.cases import Case, Trap


def _safetensors(head: Any, body: bytes = b"", length: int | None = None) -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def _model_files(rng: random.Random) -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    yield "pickle", pickle.dumps(Trap())
    yield "torch-zip", zipped({"archive/data.pkl": pickle.dumps(Trap()), "archive/version": b"3"})
    yield "header-huge", struct.pack("<Q", 2**63) + b"{}"
    yield "header-100M", struct.pack("<Q", 100_000_001) + b"{}"
    yield "header-none", _safetensors(b"")
    yield "header-open", _safetensors(b"{")
    yield "header-deep", _safetensors(b'{"a":' + b"[" * 5000)
    yield "header-list", _safetensors([])
    yield "no-tensors", _safetensors({})
    for n, entry in enumerate((
        {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**63]},
        {"dtype": "F32", "shape": [1], "data_offsets": [8, 4]}, {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "OBJ", "shape": [1], "data_offsets": [0, 4]}, {"dtype": "F32", "shape": "x", "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1]}, 3, {"dtype": "F64", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}, {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "I64", "shape": [0, 2**62], "data_offsets": [0, 0]},
        {"dtype": "F8_E5M2", "shape": [4], "data_offsets": [0, 4]},
    )):  # fmt: skip
        yield f"entry-{n}", _safetensors({"mean": entry}, bytes(4))
    yield "names", _safetensors({"../../x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4))
    for n in range(6):
        yield f"random-{n}", bytes(rng.randrange(256) for _ in range(200))


def _spec_changes(keys: tuple[str, ...], rng: random.Random) -> Iterator[tuple[str, str]]:
    """A mark that `model_doors.py` reads: which key of the valid spec becomes what."""
    value: Any
    for key in keys:
        for value in (None, "x", -1, 10**12, [], {}, 1.5, "LEFT OUT"):
            yield f"{key}={json.dumps(value)}", json.dumps([key, value])


_TEXT_SPECS = (
    b"", b"{", b"[]", b"null", b"3", b'"x"', b"[" * 100_000, b"\xff\xfe", b"{}", b'{"kind": "class_vae"}',
    b'{"format": 1, "kind": "os.system"}', b'{"format": 1, "kind": "vae"}',
    b'{"format": 1, "kind": "gan", "config": {}}', b'{"a": ' + b"9" * 9000 + b"}", b'{"kind": NaN}',
    pickle.dumps(Trap()),
)  # fmt: skip


def _models(door: str, keys: tuple[str, ...], rng: random.Random) -> Iterator[Case]:
    """Of a valid folder `say` names the change of the spec, `files` replace the folder's own: see `model_doors.py`."""
    for name, change in _spec_changes(keys, rng):
        yield Case(door, f"spec {name}", {}, (change,))
    for n, text in enumerate(_TEXT_SPECS):
        yield Case(door, f"text-{n}", {"spec.json": text})
    for name, data in _model_files(rng):
        yield Case(door, f"weights-{name}", {"weights.safetensors": data}, ("seal",))
    yield Case(door, "no-spec", {}, ("without spec.json",))
    yield Case(door, "no-weights", {}, ("without weights.safetensors",))
    for n in range(12):
        yield Case(door, f"mutated-spec-{n}", {}, (f"mutate spec.json {rng.randrange(10**6)}",))
        yield Case(door, f"mutated-weights-{n}", {}, (f"mutate weights.safetensors {rng.randrange(10**6)}", "seal"))


def classifiers(rng: random.Random) -> Iterator[Case]:
    yield from _models(
        "classifier",
        (
            "kind",
            "config",
            "classes",
            "channels",
            "size",
            "history",
            "weights",
            "config.width",
            "config.backbone",
            "config.dropout",
        ),
        rng,
    )


def generators(rng: random.Random) -> Iterator[Case]:
    for kind in ("vae", "gan"):
        yield from _models(
            f"generator-{kind}",
            ("kind", "config", "classes", "channels", "size", "reports", "config.width", "config.latent_dim"),
            rng,
        )


def judges(rng: random.Random) -> Iterator[Case]:
    good = {
        "kind": "synaug judges 1",
        "classes": ["a", "b"],
        "folds": 2,
        "fold_of": {"x": 0},
        "members": [{"left_out": [0], "unseen": []}],
    }
    value: Any
    for key in (*good, "extra"):
        for n, value in enumerate(
            (
                None,
                "x",
                -1,
                [],
                {},
                [{"left_out": ["../../x"], "unseen": []}],
                [{"left_out": [10**20], "unseen": []}],
                [{"left_out": list(range(5000)), "unseen": []}],
            )
        ):
            yield Case("judges", f"{key}-{n}", {"judges.json": json.dumps({**good, key: value}).encode()})
    for n, text in enumerate(_TEXT_SPECS):
        yield Case("judges", f"text-{n}", {"judges.json": text})


def checkpoints(rng: random.Random) -> Iterator[Case]:
    for name, data in _model_files(rng):
        yield Case("checkpoint", name, {"x.pt": data})
    for n, protocol in enumerate(range(6)):
        yield Case("checkpoint", f"pickle-{n}", {"x.pt": pickle.dumps([Trap()], protocol)})
    for n in range(12):
        yield Case("checkpoint", f"mutated-{n}", {}, (str(rng.randrange(10**6)),))


def weights_files(rng: random.Random) -> Iterator[Case]:
    for name, data in _model_files(rng):
        yield Case("weights", name, {"x.safetensors": data})
    yield Case("weights", "other-format", {"x.pt": pickle.dumps(Trap())})
