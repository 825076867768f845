"""Hostile archives."""

from __future__ import annotations

import io
import pickle
import random
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from corpus.cases import Case, Trap, mutated
from corpus.names import NAMES


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)  # no date of today: equal seeds give equal bytes
    return buffer.getvalue()


def _npy(array: Any, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def _npy_header(text: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    head = text.encode() + b"\n"
    size = struct.pack("<H", len(head)) if version[0] == 1 else struct.pack("<I", len(head))
    return b"\x93NUMPY" + version + size + head + body


def npz(rng: random.Random) -> Iterator[Case]:
    drawn = np.random.default_rng(0)
    images = drawn.integers(0, 256, (40, 16, 16), dtype=np.uint8)
    labels = np.arange(40, dtype=np.uint8)[:, None] % 2
    good = {"train_images.npy": _npy(images), "train_labels.npy": _npy(labels)}

    def with_(**arrays: bytes) -> bytes:
        return zipped({**good, **{f"{k}.npy": v for k, v in arrays.items()}})

    made = {
        "empty": b"", "not-a-zip": b"PK\x03\x04" + bytes(99), "text": b"hello", "pickle": pickle.dumps(Trap()),
        "bare-npy": _npy(images), "no-arrays": zipped({}), "path": zipped({**good, "../../evil.npy": _npy(labels)}),
        "absolute": zipped({**good, "/tmp/evil.npy": _npy(labels)}), "nul": zipped({**good, "a\x01b.npy": b""}),
        "object-images": with_(train_images=_npy(np.array([Trap()] * 3, dtype=object), True)),
        "object-labels": with_(train_labels=_npy(np.array([Trap()] * 40, dtype=object), True)),
        "object-elsewhere": with_(extra=_npy(np.array([Trap()], dtype=object), True)),
        "raw-pickle-in-npy": with_(train_labels=pickle.dumps(Trap())),
        "object-names": with_(class_names=_npy(np.array(["a", Trap()], dtype=object), True)),
        "bomb": with_(train_images=_npy(np.zeros((40, 2000, 2000), np.uint8))),
        "bomb-elsewhere": with_(other=_npy(np.zeros(200_000_000, np.uint8))),
        "big-names": with_(class_names=_npy(np.array(["a" * 100_000, "b"]))),
        "lzma": zipped(good, zipfile.ZIP_LZMA), "bzip2": zipped(good, zipfile.ZIP_BZIP2),
        "same-twice": with_() + with_(), "many-files": zipped({**good, **{f"f{i}.npy": b"" for i in range(3000)}}),
    }  # fmt: skip
    for claim in (
        "(10**9,16,16)", "(1000000000000, 16, 16)", "(-1, 16, 16)", "(2**63,)", "(9223372036854775807, 2, 2)",
        "(40, 16, 16", "('a',)", "(1.5,)", "(True, 16, 16)", "()", "(0, 16, 16)", "(40, 0, 0)", "(40, 1, 256)",
        "(" * 5000, "[" * 200, "(40,16,16)+" * 500, "__import__('os').system('touch TRAP')",
    ):  # fmt: skip
        header = "{'descr': '|u1', 'fortran_order': False, 'shape': " + claim + ", }"
        made[f"claims-{claim[:24]}"] = with_(train_images=_npy_header(header, images.tobytes()))
    for descr in (
        "'|O'", "'<U999999999'", "'<f8'", "'<c16'", "'|V8'", "'<M8[ns]'", "[('a', '<i4')]", "'>u1'", "'nonsense'",
        "None", "[('x', '|O')]", "('|u1', (9, 9, 9))", "'|S0'", "'<i8'", "{}", "'" + "a" * 9000 + "'",
    ):  # fmt: skip
        header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (40, 16, 16), }}"
        made[f"descr-{descr[:20]}"] = with_(train_images=_npy_header(header, images.tobytes()))
    for text in (
        "",
        "{",
        "{}",
        "\\",
        "'''",
        "{'descr': ",
        "1",
        "None",
        "\x00",
        "{" * 900,
        "(((",
        "0x",
        "1L",
        "\t {",
        '"',
        "]",
    ):
        made[f"header-{text[:9]!r}"] = with_(train_images=_npy_header(text))
    made["version-9"] = with_(train_images=_npy_header("{}", version=b"\x09\x00"))
    made["version-2-long"] = with_(train_images=b"\x93NUMPY\x02\x00\xff\xff\xff\xff{")
    array: Any
    for name, array in (
        ("images-float", drawn.random((40, 16, 16))), ("images-2d", images[:, 0]),
        ("images-5-channels", np.zeros((40, 9, 9, 5), np.uint8)), ("images-none", images[:0]),
        ("images-bool", images > 9), ("images-flat", np.zeros((40, 1, 400), np.uint8)), ("images-0d", np.uint8(3)),
    ):  # fmt: skip
        made[name] = with_(train_images=_npy(array))
    for name, array in (
        ("labels-float", labels * 1.5), ("labels-nan", np.full(40, np.nan)),
        ("labels-negative", labels.astype(np.int64) - 5),
        ("labels-huge", labels.astype(np.uint64) + np.uint64(2**63 + 7)), ("labels-short", labels[:7]),
        ("labels-0d", np.int64(1)), ("labels-text", np.array(["a"] * 40)),
        ("labels-multi", np.zeros((40, 5), np.int64)), ("labels-all-different", np.arange(40)),
        ("labels-one-class", np.zeros(40, np.int64)), ("labels-dates", np.zeros(40, "M8[ns]")),
        ("labels-huge-64", labels.astype(np.int64) * (2**62)),
    ):  # fmt: skip
        made[name] = with_(train_labels=_npy(array))
    for n in range(0, len(NAMES) - 1, 3):
        made[f"names-{n}"] = with_(class_names=_npy(np.array([NAMES[n], NAMES[n + 1]])))
    valid = with_()
    encrypted = bytearray(valid)
    for at in (valid.find(b"PK\x03\x04") + 6, valid.find(b"PK\x01\x02") + 8):
        encrypted[at] |= 1
    made["encrypted"] = bytes(encrypted)
    method = bytearray(valid)
    for at in (valid.find(b"PK\x03\x04") + 8, valid.find(b"PK\x01\x02") + 10):
        method[at] = 77
    made["unknown-compression"] = bytes(method)
    for n in range(30):
        made[f"mutated-{n}"] = mutated(valid, rng)
    for n, cut in enumerate((10, 100, len(valid) // 2, len(valid) - 30, len(valid) - 1)):
        made[f"cut-{n}"] = valid[:cut]
    for name, data in made.items():
        yield Case("npz", name, {"x.npz": data})
