# ruff: noqa: E501 - lists of hostile texts read best with a line for many
"""A seeded corpus of hostile inputs: bytes, texts and folders that somebody might give to synaug to do harm.

`corpus(seed)` gives the same cases for the same seed. A case is data only; `feed.py` hands it to the product.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

Files = dict[str, bytes]
MOST_NAME = 255


@dataclass(frozen=True)
class Case:
    """One hostile input.

    `door` says which entry point it is for, `files` what lies in its folder, `say` the texts given with it.
    """

    door: str
    name: str
    files: Files
    say: tuple[str, ...] = ()


class Trap:
    """Unpickled, it leaves a trace."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("echo unpickled > TRAP",)


NAMES = (
    "..", "../..", "../../etc/passwd", "/etc/passwd", "a/../../b", "..\\..\\windows", "C:\\con", "con", "NUL", "aux.txt",
    "~", "~root", "$HOME", "${PATH}", "`touch TRAP`", "$(touch TRAP)", "; touch TRAP", "| touch TRAP", "&& touch TRAP",
    "-rf", "--set", "*", "?", "[a-z]", "{}", "{0}", "{__class__}", "{0.__class__.__mro__}", "%s%s%s%n", "%(x)s", "%d",
    "$x_1^2$", "$\\frac{1}{0}$", "$", "$$", "\\alpha", "\\input{/etc/passwd}", "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "javascript:alert(1)", "</title>", "<!--", "]]>", "&amp;",
    "'; DROP TABLE runs; --", "' OR '1'='1", "a\x00b", "a\nb", "a\r\nb", "a\tb", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07",
    "\x07", "\x7f", "\x85", "\u2028", "\u202eevil\u202c", "\u200b", "\ufeff", "\u0301", "e\u0301", "é", "ﬁ", "İ", "ß",
    "😀", "👩‍👩‍👧‍👦", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "中文", "العربية", "עברית", "ﷺ", "Z̸̢͠a̵l̶g̷o̴", "a" * 300, "é" * 120, "😀" * 60, " ", "  ", " a ",
    ".", ".hidden", "...", "a.", "train", "test", "val", "TRAIN", "weights", "spec.json", "__class__", "__init__",
    "null", "true", "nan", "inf", "0", "-1", "1e999", "=cmd|'/c calc'!A1", "+1+1", "@SUM(1)", "#", "None", "self", "x" * 64,
)  # fmt: skip


def plain_image(number: int, side: int = 16) -> bytes:
    """A small valid PNG, unlike its neighbours."""
    rng = np.random.default_rng(number)
    return _encode(rng.integers(0, 256, (side, side, 3), dtype=np.uint8), "PNG")


def class_folders(counts: dict[str, int], first: int = 0) -> Files:
    """Valid images in class folders."""
    names = [(name, i) for name, count in counts.items() for i in range(count)]
    return {f"data/{name}/{i:03}.png": plain_image(first + n) for n, (name, i) in enumerate(names)}


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The bytes with a few of them changed, left out, doubled or cut off."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        if not out:
            break
        at, kind = rng.randrange(len(out)), rng.randrange(7)
        if kind == 0:
            out[at] = rng.randrange(256)
        elif kind == 1:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del out[at : at + rng.randrange(1, 32)]
        elif kind == 3:
            out[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 32)))
        elif kind == 4:
            out[at : at + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"))
        elif kind == 5:
            out[at:at] = out[max(0, at - 64) : at]
        else:
            del out[at:]
    return bytes(out)


def corpus(seed: int = 0) -> list[Case]:
    """Every case, in an order that repeats."""
    rng = random.Random(seed)
    parts = (
        _images, _npz, _csv, _parquet, _predictions, _class_names, _yaml, _wrong_types, _sweeps, _sets, _classifiers,
        _generators, _judges, _checkpoints, _weights_files, _addresses, _bodies, _commands,
    )  # fmt: skip
    return [case for part in parts for case in part(rng)]


def thinned(cases: list[Case], share: int) -> list[Case]:
    """Every `share`-th case of each door, the slow doors left out."""
    doors: dict[str, list[Case]] = {}
    for case in cases:
        doors.setdefault(case.door, []).append(case)
    return [case for door, own in doors.items() if door != "command" for case in own[::share]]


# ---- images ----------------------------------------------------------------------------------------------------------


def _encode(pixels: Any, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, body: bytes, extra: bytes = b"", bits: int = 8, colour: int = 0) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + extra + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _tiff(entries: list[tuple[int, int, int, int]], following: int = 0, tail: bytes = b"") -> bytes:
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", following) + tail


def _valid_images() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)
    grey16 = rng.integers(0, 65536, (12, 12), dtype=np.uint16)
    rgba = rng.integers(0, 256, (12, 12, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = 6
    return {
        "jpeg": _encode(rgb, "JPEG"),
        "jpeg-progressive": _encode(rgb, "JPEG", progressive=True, exif=exif.tobytes()),
        "png": _encode(rgb, "PNG"),
        "png16": _encode(grey16, "PNG"),
        "rgba": _encode(rgba, "PNG"),
        "bmp": _encode(rgb, "BMP"),
        "tiff": _encode(rgb, "TIFF"),
        "tiff-deflate": _encode(rgb, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-lzw": _encode(rgb, "TIFF", compression="tiff_lzw"),
        "tiff-float": _encode(rng.random((9, 9), dtype=np.float32), "TIFF"),
        "webp": _encode(rgb, "WEBP"),
        "webp-lossless": _encode(rgba, "WEBP", lossless=True),
        "gif": _encode(rgb[..., 0], "GIF"),
    }


def _made_images() -> Iterator[tuple[str, bytes]]:
    valid = _valid_images()
    zeros = zlib.compress(bytes(5_000_000), 9)
    yield "nothing", b""
    yield "one-zero", b"\0"
    yield "zeros", bytes(4096)
    yield "png-claims-65535", _png(65535, 65535, zeros)
    yield "png-claims-2e9", _png(2**31 - 1, 2**31 - 1, zeros)
    yield "png-claims-0", _png(0, 0, zeros)
    yield "png-just-below", _png(7000, 7000, zeros)
    yield "png-flat", _png(1_000_000, 1, zeros)
    yield "png-tall", _png(1, 1_000_000, zeros)
    yield "png-bad-colour", _png(8, 8, zeros, bits=7, colour=9)
    yield (
        "png-text-bomb",
        _png(8, 8, zlib.compress(bytes(72)), _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(90_000_000)))),
    )
    yield (
        "png-icc-bomb",
        _png(8, 8, zlib.compress(bytes(72)), _chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(90_000_000)))),
    )
    yield "png-many-text", _png(8, 8, zlib.compress(bytes(72)), _chunk(b"tEXt", b"k\0v") * 5000)
    yield "png-exif", _png(8, 8, zlib.compress(bytes(72)), _chunk(b"eXIf", b"MM\0*" + b"\xff" * 200))
    yield "png-length-lies", valid["png"][:33] + b"\x7f\xff\xff\xff" + valid["png"][37:]
    yield "apng-many-frames", _png(8, 8, zlib.compress(bytes(72)), _chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)))
    yield "bmp-claims", b"BM" + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, 2**30, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0)
    yield (
        "bmp-rle",
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, 5000, 5000, 1, 8, 1, 0, 0, 0, 0, 0) + b"\0\2\xff\xff",
    )
    yield "tiff-cycle", _tiff([(256, 4, 1, 8), (257, 4, 1, 8)], following=8)
    yield "tiff-no-entries", _tiff([])
    yield "tiff-far", _tiff([(256, 4, 2**31, 2**31)] * 50, following=2**31)
    yield "tiff-huge", _tiff([(256, 4, 1, 2**31), (257, 4, 1, 2**31), (273, 4, 1, 0), (279, 4, 1, 2**31)])
    yield "tiff-strips", _tiff([(256, 4, 1, 100), (257, 4, 1, 100), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 2**28, 8)])
    yield "tiff-sub-ifds", _tiff([(256, 4, 1, 8), (257, 4, 1, 8), (34665, 4, 1, 8), (330, 4, 1000, 8)])
    yield "bigtiff", b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63) * 20
    yield (
        "jpeg-huge",
        valid["jpeg"].replace(b"\xff\xc0\x00\x11\x08\x00\x18\x00\x14", b"\xff\xc0\x00\x11\x08\xff\xff\xff\xff"),
    )
    yield "jpeg-exif-cycle", b"\xff\xd8\xff\xe1\x00\x40Exif\0\0" + _tiff([(34665, 4, 1, 8)], 8) + valid["jpeg"][2:]
    yield "jpeg-comment", b"\xff\xd8" + b"\xff\xfe\xff\xff" + b"a" * 65533 + valid["jpeg"][2:]
    yield "webp-huge", b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0" + b"\xff" * 10
    yield "webp-no-body", b"RIFF\x04\0\0\0WEBP"
    yield "polyglot-zip", valid["png"] + _zip({"../../evil": b"x"})
    yield "polyglot-pickle", valid["jpeg"] + pickle.dumps(Trap())
    yield "polyglot-html", valid["jpeg"][:2] + b"\xff\xfe\x00\x1c<script>alert(1)</script>" + valid["jpeg"][2:]
    yield from (
        ("svg", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'), ("pdf", b"%PDF-1.7\n"),
        ("eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) (w) file\n"), ("elf", b"\x7fELF" + bytes(60)),
        ("zip", _zip({"a": b"b"})), ("pickle", pickle.dumps(Trap())), ("xbm", b"#define x_width 99999\n"),
        ("ppm", b"P6 99999 99999 255\n"), ("ico", b"\0\0\1\0\1\0"), ("jp2", b"\0\0\0\x0cjP  \r\n\x87\n"), ("psd", b"8BPS\0\1"),
        ("fits", b"SIMPLE  =                    T"), ("iptc", b"\x1c\x02\x78\0\3abc"), ("shell", b"#!/bin/sh\ntouch TRAP\n"),
        ("lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"), ("xml", b'<?xml version="1.0"?><!DOCTYPE a>'),
    )  # fmt: skip
    yield "gif", valid["gif"]


def _images(rng: random.Random) -> Iterator[Case]:
    made = list(_made_images())
    for name, data in made:
        yield Case("image", name, {"x": data})
    for name, data in _valid_images().items():
        for cut in (1, 8, 30, len(data) // 2, len(data) - 1):
            yield Case("image", f"{name}-cut-{cut}", {"x": data[:cut]})
        for n in range(18):
            yield Case("image", f"{name}-mutated-{n}", {"x": mutated(data, rng)})
    good = class_folders({"a": 12, "b": 12})
    wrong = (".png", ".jpg", ".tif", ".webp", ".bmp")
    for n, (name, data) in enumerate(made[::3]):
        yield Case("folder", f"image-{name}", {**good, f"data/a/bad{wrong[n % 5]}": data})


# ---- archives, tables ------------------------------------------------------------------------------------------------


def _zip(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
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


def _npz(rng: random.Random) -> Iterator[Case]:
    drawn = np.random.default_rng(0)
    images = drawn.integers(0, 256, (40, 16, 16), dtype=np.uint8)
    labels = np.arange(40, dtype=np.uint8)[:, None] % 2
    good = {"train_images.npy": _npy(images), "train_labels.npy": _npy(labels)}

    def with_(**arrays: bytes) -> bytes:
        return _zip({**good, **{f"{k}.npy": v for k, v in arrays.items()}})

    made = {
        "empty": b"", "not-a-zip": b"PK\x03\x04" + bytes(99), "text": b"hello", "pickle": pickle.dumps(Trap()),
        "bare-npy": _npy(images), "no-arrays": _zip({}), "path": _zip({**good, "../../evil.npy": _npy(labels)}),
        "absolute": _zip({**good, "/tmp/evil.npy": _npy(labels)}), "nul": _zip({**good, "a\x01b.npy": b""}),
        "object-images": with_(train_images=_npy(np.array([Trap()] * 3, dtype=object), True)),
        "object-labels": with_(train_labels=_npy(np.array([Trap()] * 40, dtype=object), True)),
        "object-elsewhere": with_(extra=_npy(np.array([Trap()], dtype=object), True)),
        "raw-pickle-in-npy": with_(train_labels=pickle.dumps(Trap())),
        "object-names": with_(class_names=_npy(np.array(["a", Trap()], dtype=object), True)),
        "bomb": with_(train_images=_npy(np.zeros((40, 2000, 2000), np.uint8))),
        "bomb-elsewhere": with_(other=_npy(np.zeros(200_000_000, np.uint8))),
        "big-names": with_(class_names=_npy(np.array(["a" * 100_000, "b"]))),
        "lzma": _zip(good, zipfile.ZIP_LZMA), "bzip2": _zip(good, zipfile.ZIP_BZIP2),
        "same-twice": with_() + with_(), "many-files": _zip({**good, **{f"f{i}.npy": b"" for i in range(3000)}}),
    }  # fmt: skip
    for claim in ("(10**9,16,16)", "(1000000000000, 16, 16)", "(-1, 16, 16)", "(2**63,)", "(9223372036854775807, 2, 2)",
                  "(40, 16, 16", "('a',)", "(1.5,)", "(True, 16, 16)", "()", "(0, 16, 16)", "(40, 0, 0)", "(40, 1, 256)",
                  "(" * 5000, "[" * 200, "(40,16,16)+" * 500, "__import__('os').system('touch TRAP')"):  # fmt: skip
        header = "{'descr': '|u1', 'fortran_order': False, 'shape': " + claim + ", }"
        made[f"claims-{claim[:24]}"] = with_(train_images=_npy_header(header, images.tobytes()))
    for descr in ("'|O'", "'<U999999999'", "'<f8'", "'<c16'", "'|V8'", "'<M8[ns]'", "[('a', '<i4')]", "'>u1'", "'nonsense'",
                  "None", "[('x', '|O')]", "('|u1', (9, 9, 9))", "'|S0'", "'<i8'", "{}", "'" + "a" * 9000 + "'"):  # fmt: skip
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
    for name, array in (
        ("images-float", drawn.random((40, 16, 16))), ("images-2d", images[:, 0]), ("images-5-channels", np.zeros((40, 9, 9, 5), np.uint8)),
        ("images-none", images[:0]), ("images-bool", images > 9), ("images-flat", np.zeros((40, 1, 400), np.uint8)), ("images-0d", np.uint8(3)),
    ):  # fmt: skip
        made[name] = with_(train_images=_npy(array))
    for name, array in (
        ("labels-float", labels * 1.5), ("labels-nan", np.full(40, np.nan)), ("labels-negative", labels.astype(np.int64) - 5),
        ("labels-huge", labels.astype(np.uint64) + np.uint64(2**63 + 7)), ("labels-short", labels[:7]), ("labels-0d", np.int64(1)), ("labels-text", np.array(["a"] * 40)),
        ("labels-multi", np.zeros((40, 5), np.int64)), ("labels-all-different", np.arange(40)), ("labels-one-class", np.zeros(40, np.int64)),
        ("labels-dates", np.zeros(40, "M8[ns]")), ("labels-huge-64", labels.astype(np.int64) * (2**62)),
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


def _csv(rng: random.Random) -> Iterator[Case]:
    good = class_folders({"a": 12, "b": 12})
    ids = sorted(k.removeprefix("data/") for k in good)
    plain = "id,group,split\n" + "".join(f"{i},{n},\n" for n, i in enumerate(ids))
    texts: dict[str, bytes] = {
        "empty": b"", "nul": b"id\n\0\0\0", "nul-in-field": plain.encode().replace(b"a/000", b"a\0/000"), "binary": bytes(range(256)),
        "utf16": plain.encode("utf-16"), "latin1": b"id,group\na/000.png,caf\xe9\n", "bom": b"\xef\xbb\xbf" + plain.encode(),
        "huge-field": b"id,group\na/000.png," + b"x" * 300_000 + b"\n", "huge-heading": b"id," + b"x" * 200_000 + b"\n",
        "many-columns": b"id," + b",".join(b"c%d" % i for i in range(20_000)) + b"\n", "open-quote": b'id,group\n"a/000.png,1\n' * 50,
        "quote-inside": b'id,group\na"b"/000.png,"x"y\n', "only-heading": b"id,group,split\n", "no-heading": b"a/000.png,1\n",
        "twice": b"id\na/000.png\na/000.png\n", "columns-twice": b"id,id\na/000.png,a/000.png\n", "wrong-split": b"id,split\na/000.png,evil\n",
        "partial-split": b"id,split\na/000.png,train\n", "short-row": b"id,group\na/000.png\n", "long-row": b"id\na/000.png,1,2,3\n",
        "carriage": b"id,group\ra/000.png,1\r", "blank-lines": b"id\n\n\n\n", "separator": b"id;group\na/000.png;1\n", "tabs": b"id\tgroup\n",
        "traversal": b"id\n../../../etc/passwd\n", "absolute": b"id\n/etc/passwd\n", "one-group": b"id,group\n" + b"".join(f"{i},g\n".encode() for i in ids),
        "formula": b"id,group\na/000.png,=cmd|'/c calc'!A1\n", "heading-formula": b"=1+1,id\n", "pickle": pickle.dumps(Trap()), "html": b"<script>,id\n",
        "surrogates": b"id\n\xed\xa0\x80\n", "lone-cr": b"id\n\r\r\r\n", "million-rows": b"id\n" + b"x\n" * 200_000,
    }  # fmt: skip
    for n, name in enumerate(NAMES[::5]):
        texts[f"group-{n}"] = ("id,group\n" + f'a/000.png,"{name}"\n').encode("utf-8", "surrogatepass")
        texts[f"id-{n}"] = f'id\n"{name}"\n'.encode("utf-8", "surrogatepass")
    for n in range(20):
        texts[f"mutated-{n}"] = mutated(plain.encode(), rng)
    for name, data in texts.items():
        yield Case("csv", name, {**good, "data/meta.csv": data})


def _parquet(rng: random.Random) -> Iterator[Case]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    picture = _encode(np.zeros((16, 16, 3), np.uint8), "PNG")
    facts = {"classes": ["a", "b"], "channels": 3, "height": 16, "width": 16}

    def file(facts: Any = facts, image: Any = picture, raw: bytes | None = None, **columns: Any) -> bytes:
        n = 24
        own = {
            "image": [{"bytes": image, "path": "../../evil.png"}] * n, "label": [i % 2 for i in range(n)],
            "id": [f"i{i}" for i in range(n)], "split": ["train"] * n, "group": ["" for _ in range(n)], "provenance": ["{}"] * n, **columns,
        }  # fmt: skip
        table = pa.table({k: v for k, v in own.items() if v is not None})
        meta = {b"synaug": raw if raw is not None else json.dumps(facts).encode()} if facts is not None else None
        buffer = io.BytesIO()
        pq.write_table(table.replace_schema_metadata(meta), buffer)
        return buffer.getvalue()

    made = {
        "empty": b"",
        "magic": b"PAR1PAR1",
        "text": b"PAR1 hello PAR1",
        "no-facts": file(None),
        "pickle": pickle.dumps(Trap()),
    }
    for n, value in enumerate((0, -1, 2, 10**12, 2**64, "3", None, [], {}, 1.5, float("nan"), True)):
        for key in ("channels", "height", "width"):
            made[f"{key}-{n}"] = file({**facts, key: value})
    for n, value in enumerate(
        (
            None,
            [],
            "ab",
            3,
            {"a": 1},
            ["a"],
            ["a", "a"],
            ["a", None],
            [["a"], ["b"]],
            ["../x", "/y"],
            ["\x00", "\x1b[2J"],
        )
    ):
        made[f"classes-{n}"] = file({**facts, "classes": value})
    for n, raw in enumerate(
        (b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b'{"classes": ' + b"9" * 5000 + b"}", b"1e999")
    ):
        made[f"facts-{n}"] = file(raw=raw)
    for name, data in list(_made_images())[:30:2]:
        made[f"image-{name}"] = file(image=data)
    made["image-null"] = file(image=None)
    for n, values in enumerate(([9] * 24, [-1] * 24, [2**62] * 24, ["a"] * 24, [None] * 24, [0.5] * 24, [[1]] * 24)):
        made[f"labels-{n}"] = file(label=values)
    for column in ("image", "label", "id", "split", "group", "provenance"):
        made[f"without-{column}"] = file(**{column: None})
        made[f"numbers-in-{column}"] = file(**{column: list(range(24))})
        made[f"nulls-in-{column}"] = file(**{column: [None] * 24})
    made["ids-twice"] = file(id=["x"] * 24)
    made["provenance-deep"] = file(provenance=["[" * 5000] * 24)
    valid = file()
    for n in range(30):
        made[f"mutated-{n}"] = mutated(valid, rng)
    for name, data in made.items():
        yield Case("parquet", name, {"x.parquet": data})


def _predictions(rng: random.Random) -> Iterator[Case]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def file(raw: bytes = b'{"classes": ["a", "b"]}', **columns: Any) -> bytes:
        own = {"id": ["x", "y"], "label": [0, 1], "probabilities": [[0.5, 0.5], [0.1, 0.9]], **columns}
        table = pa.table({k: v for k, v in own.items() if v is not None}).replace_schema_metadata(
            {b"synaug.predictions": raw}
        )
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        return buffer.getvalue()

    made = {"empty": b"", "pickle": pickle.dumps(Trap())}
    for n, raw in enumerate((b"", b"[]", b"{}", b'{"classes": 3}', b'{"classes": "ab"}', b'{"classes": [[], []]}', b"[" * 90_000, b'{"classes": [{}, 1]}',
                             b'{"classes": null}', b'{"classes": ["a"]}', b"\xff", b'{"classes": ["a", "b", "c"]}')):  # fmt: skip
        made[f"facts-{n}"] = file(raw)
    for n, value in enumerate(
        (
            None,
            [[0.5], [0.5]],
            [[0.5, 0.5], None],
            [None, None],
            [["a", "b"]] * 2,
            [[float("nan")] * 2] * 2,
            [0.5, 0.5],
            [[9, -8]] * 2,
            [[]] * 2,
        )
    ):
        made[f"probabilities-{n}"] = file(probabilities=value)
    for n, value in enumerate((None, [5, 5], [-1, 0], [None, 1], ["a", "b"], [0.5, 1], [[0], [1]])):
        made[f"labels-{n}"] = file(label=value)
    for n, value in enumerate((None, ["x", "x"], [None, "x"], [1, 2], [["x"], ["y"]])):
        made[f"ids-{n}"] = file(id=value)
    for n in range(25):
        made[f"mutated-{n}"] = mutated(file(), rng)
    for name, data in made.items():
        yield Case("predictions", name, {"x.parquet": data})


def _class_names(rng: random.Random) -> Iterator[Case]:
    for n, name in enumerate(NAMES):
        yield Case("name", f"name-{n}", {}, (name,))
        if "/" not in name and "\0" not in name and name not in (".", "..") and len(os.fsencode(name)) <= MOST_NAME:
            yield Case("folder", f"class-{n}", class_folders({name: 10, "ordinary": 10}))


# ---- configurations --------------------------------------------------------------------------------------------------


def _yaml(rng: random.Random) -> Iterator[Case]:
    laughs = "a: &a [x, x]\n" + "".join(
        f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefghijklmnop", "bcdefghijklmnopq", strict=True)
    )
    texts = [
        laughs, "&a [*a]", "a: &a\n  b: *a", "<<: {a: 1}", "!!python/object/apply:os.system ['touch TRAP']", "name: !!python/name:os.system",
        "name: !!python/object:object {}", "name: !!python/object/new:os.system [touch TRAP]", "name: !!python/module:os", "!!set {a, b}", "!!binary aGk=",
        "name: !!timestamp 2020-01-01", "!evil x", "!<tag:yaml.org,2002:python/none> x", "%YAML 9.9\n---\na: 1", "%TAG ! tag:evil,2000:\n---\n!x a", "---\n---\n", "a: 1\n---\nb: 2",
        "[" * 300, "[" * 20_000, "{" * 5000, "- " * 5000, "a: " * 500, "? " * 2000, "? [a]\n: b", "? {a: b}\n: c", "{[a]: b}", "name: a\nname: b", "data: {source: digits, source: digits}",
        "seed: " + "9" * 5000, "seed: " + "9" * 300_000, "seed: 1e999", "seed: .inf", "seed: -.inf", "seed: .nan", "seed: 0x10", "seed: 1_000", "seed: -0", "seed: " + "9" * 30,
        "repetitions: 1e308", "repetitions: 99999999999999999999", "generator: {steps: 1e400}", "name: \x00", "name: \x1b[31m", "name: \u2028", "name: '\ud800'", "\ufeffname: a", "\t", "a:\tb\n\tc", "@", "`", "%", "",
        "null", "~", "42", "text", "[]", "{}", "- a", "true", "name: |\n" + "  x\n" * 20_000, "name: >\n  " + "x" * 100_000, "x" * 300_000, "a: b: c", "'", '"', "a: 'b", "# only a comment", "--- !!map {}", "&", "*", "*a", "&a", "!!",
        "!!int x", "seed: !!int abc", "seed: !!float x", "seed: !!bool maybe", "name: !!null x", "seed: !!int ''", "arms: !!omap [a: 1]", "arms: !!pairs [a: 1]", "!!str {a: b}", "!!seq {a: b}", "!!map [a]", "!!int [1]", "!!bool {}",
        "data: {source: digits}\narms: [original, original]", "arms: []", "arms: [[[[]]]]", "arms: [{name: ../x}]", "arms: [{}]", "arms: [null]", "arms: " + json.dumps(["original"] * 5000), "generators: {../x: {}}", "generators: {'': {}}",
        "generators: {a: null}", "data: {classes: [[], {}]}", "data: {classes: [null]}", "data: {source: ''}", "data: {source: /dev/zero}", "data: {source: /dev/stdin}", "data: {source: /proc/self/mem}", "data: {source: ~nobodyatall}", "data: {source: \"a\\0b\"}",
        "data: {metadata: /dev/zero}", "data: {metadata: \"a\\0b\"}", "data: {metadata: ~nobodyatall/x}", "classifier: {weights_file: /dev/zero}", "classifier: {weights_file: \"a\\0b\"}", "classifier: {weights_file: ~nobodyatall/x}",
        "data: {source: " + "a" * 5000 + "}", "data: {metadata: " + "a" * 5000 + "}", "classifier: {weights_file: " + "a/" * 5000 + "}", "classifier: {backbone: ../../etc}", "classifier: {backbone: 'hf-hub:evil/model'}", "generator: {kind: os.system}",
        "__class__: x", "model_config: {}", "name: ../../x", "name: " + "a" * 10_000, "name: {}", "name: [a]", "\"data\\0\": 1", "data.source: digits", "synthesis: {counts: {\"\\e[2J\": 5}}", "? \n: 1", ": 1", "{a", "a: {b", "a: ]", "a: }", "- -", "? ?",
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
    valid = b"name: x\ndata: {source: digits, classes: [1, 2]}\narms: [original, {name: y, sampling: balanced}]\nseed: 3\ngenerator:\n  steps: 20\n"
    for n in range(40):
        yield Case("yaml", f"mutated-{n}", {"x.yaml": mutated(valid, rng)})


_WRONG: tuple[Any, ...] = (None, True, -1, 0, 10**30, 1.5, "", "x", "\x00", "../..", "$(touch TRAP)", [], [[]], {}, {"": 1}, {"a": {"b": {}}}, [None] * 50, "é" * 500, {"__class__": 1}, [{"name": 3}])  # fmt: skip


def _wrong_types(rng: random.Random) -> Iterator[Case]:
    """Every known key with values that it may not take."""
    from synaug_core.config.keys import known_keys

    for key in known_keys():
        for value in rng.sample(_WRONG, 2):
            inner: Any = value
            for part in reversed(key.split(".")):
                part, listed = part.removesuffix("[]"), part.endswith("[]")
                inner = {"own" if part == "*" else part: [inner] if listed else inner}
            yield Case("yaml", f"{key}={str(value)[:12]}", {"x.yaml": json.dumps(inner).encode()})


def _sweeps(rng: random.Random) -> Iterator[Case]:
    for n, value in enumerate((
        None, 3, "x", [], {}, {"": [1]}, {"seed": 3}, {"seed": []}, {"seed": {}}, {"seed": [1, 1]}, {"seed": ["a"]}, {"seed": [None]}, {"nonsense": [1]}, {"sweep": [1]}, {"seed": list(range(501))},
        {"seed": list(range(30)), "repetitions": list(range(30))}, {"data.source": ["/dev/zero"]}, {"data.source": ["../../x"]}, {"data": [{}]}, {"data": [3]}, {"data..source": [1]}, {".": [1]},
        {"arms": [["original"]]}, {"arms[0]": [1]}, {"arms[].name": ["x"]}, {"generators.*": [1]}, {"generators.a": [None]}, {"seed": [[1], [2]]}, {"seed": {"../..": 1}}, {"seed": {"\x1b[2J": 1}}, {"name": ["../x"]},
        {"data.per_class": [10**40]}, {"__class__": [1]}, {"data.__class__": [1]}, {"seed": {"a": {"b": "c"}}}, {"sweep.seed": [1]}, {"data.source.x": [1]}, {"seed.x": [1]}, {"\x00": [1]}, {"x" * 9999: [1]},
    )):  # fmt: skip
        text = json.dumps({"data": {"source": "digits"}, "sweep": value})
        yield Case("sweep", f"sweep-{n}", {"x.yaml": text.encode()})


def _sets(rng: random.Random) -> Iterator[Case]:
    texts = [
        "", "=", "==", "a", "a=", "=a", "seed", "seed=", "seed==1", "seed=[", "seed={", "seed=*a", "seed=&a 1", "seed=!!python/name:os.system", "seed=!!python/object/apply:os.system [touch TRAP]", "seed=" + "[" * 9000, "seed=" + "9" * 9999,
        "seed=nan", "seed=.nan", "seed=.inf", "seed=1e999", "seed=-1", "seed=true", "seed=null", "seed=1.5", ".=1", "..=1", ".seed=1", "seed.=1", "seed..x=1", "data=1", "data=null", "data=[]", "data={}", "data.=1", "data.source=", "data.source=null",
        "data.source=/dev/zero", "data.source=\x00", "data.source=../../..", "data.source=~nobodyatall", "data.source=http://127.0.0.1:1/", "data.source=file:///etc/passwd", "data.source=s3://key:secret@bucket/x", "data.source=[1]", "data.metadata=/dev/zero",
        "arms=1", "arms=[1]", "arms={}", "arms[0]=x", "arms[0].name=x", "arms[].name=x", "arms.0.name=x", "generators.*=1", "generators.x=1", "generators.x.steps=1e99", "generators.../..={}", "synthesis.counts.\x1b[2J=1", "synthesis.filters.x=1",
        "__class__=1", "data.__class__=1", "data.__init__.__globals__=1", "model_config=1", "data.model_fields=1", "name=../../x", "name=\n", "name=" + "a" * 9999, "name=$(touch TRAP)", "x" * 99_999 + "=1", "seed=1\nname=2", "seed=\ud800", "\ud800=1", "--set", "seed=--debug",
        "classifier.weights_file=/dev/zero", "classifier.weights_file=\x00", "classifier.backbone=hf-hub:a/b", "generator.kind=os.system", "classifier=\t", "seed=@", "seed=`", "seed=%", "seed=? a", "seed=- 1", "seed=<<: 1", "seed=# x", "seed=a: b: c", "generator.=",
    ]  # fmt: skip
    for n, text in enumerate(texts):
        yield Case("set", f"set-{n}", {}, (text,))


def _addresses(rng: random.Random) -> Iterator[Case]:
    texts = [
        "s3://", "s3:///", "s3:///key", "s3://b", "s3://bu/x", "s3://AKIASECRETKEY:verysecret@bucket/x", "s3://user@bucket/x", "s3://bucket:9000/x", "s3://bucket/../x", "s3://bucket/./x", "s3://bucket/a//b", "s3://bucket/a/../../b", "s3://bucket/%2e%2e/x",
        "s3://bucket/\x00", "s3://bucket/\n", "s3://bucket/" + "a" * 2000, "s3://" + "b" * 300, "s3://bucket?versionId=1", "s3://bucket/x#y", "s3://../x", "s3://-b/x", "s3://bücket/x", "s3://169.254.169.254/latest/meta-data", "s3://bucket/\ud800", "s3://bucket/\u202e",
        "S3://bucket/x", "s3:/bucket/x", "s3:bucket", "http://127.0.0.1/", "http://user:verysecret@host/", "https://x", "file:///etc/passwd", "file://", "ftp://x", "gs://x/y", "://", "://x", "a://b://c", "javascript://x", "data://x", "\x00://x", "s3://bucket/x.npz", "s3://bucket/../x.npz",
        "s3://bucket/~", "s3://bucket/$(touch TRAP)", "s3://bucket/{0}", "s3://bucket/%s", "s3://bucket/;x", "s3://bucket/x y", "s3://bucket/\\..\\x", "s3://" + "://" * 99, "s3://bucket/" + "a/" * 500, "postgresql://u:verysecret@h/d", "redis://:verysecret@h",
    ]  # fmt: skip
    for n, text in enumerate(texts):
        yield Case("address", f"address-{n}", {}, (text,))


# ---- models ----------------------------------------------------------------------------------------------------------


def _safetensors(head: Any, body: bytes = b"", length: int | None = None) -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def _model_files(rng: random.Random) -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    yield "pickle", pickle.dumps(Trap())
    yield "torch-zip", _zip({"archive/data.pkl": pickle.dumps(Trap()), "archive/version": b"3"})
    yield "header-huge", struct.pack("<Q", 2**63) + b"{}"
    yield "header-100M", struct.pack("<Q", 100_000_001) + b"{}"
    yield "header-none", _safetensors(b"")
    yield "header-open", _safetensors(b"{")
    yield "header-deep", _safetensors(b'{"a":' + b"[" * 5000)
    yield "header-list", _safetensors([])
    yield "no-tensors", _safetensors({})
    for n, entry in enumerate((
        {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}, {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**63]}, {"dtype": "F32", "shape": [1], "data_offsets": [8, 4]}, {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "OBJ", "shape": [1], "data_offsets": [0, 4]}, {"dtype": "F32", "shape": "x", "data_offsets": [0, 4]}, {"dtype": "F32", "shape": [1]}, 3, {"dtype": "F64", "shape": [1], "data_offsets": [0, 4]}, {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, {"dtype": "I64", "shape": [0, 2**62], "data_offsets": [0, 0]}, {"dtype": "F8_E5M2", "shape": [4], "data_offsets": [0, 4]},
    )):  # fmt: skip
        yield f"entry-{n}", _safetensors({"mean": entry}, bytes(4))
    yield "names", _safetensors({"../../x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4))
    for n in range(6):
        yield f"random-{n}", bytes(rng.randrange(256) for _ in range(200))


def _spec_changes(keys: tuple[str, ...], rng: random.Random) -> Iterator[tuple[str, str]]:
    """A mark that `feed.py` reads: which key of the valid spec becomes what."""
    for key in keys:
        for value in (None, "x", -1, 10**12, [], {}, 1.5, "LEFT OUT"):
            yield f"{key}={json.dumps(value)}", json.dumps([key, value])


_TEXT_SPECS = (b"", b"{", b"[]", b"null", b"3", b'"x"', b"[" * 100_000, b"\xff\xfe", b"{}", b'{"kind": "class_vae"}', b'{"format": 1, "kind": "os.system"}', b'{"format": 1, "kind": "vae"}',
               b'{"format": 1, "kind": "gan", "config": {}}', b'{"a": ' + b"9" * 9000 + b"}", b'{"kind": NaN}', pickle.dumps(Trap()))  # fmt: skip


def _models(door: str, keys: tuple[str, ...], rng: random.Random) -> Iterator[Case]:
    """`feed.py` starts from a valid folder; `say` names the change of the spec, `files` replace the folder's own."""
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


def _classifiers(rng: random.Random) -> Iterator[Case]:
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


def _generators(rng: random.Random) -> Iterator[Case]:
    for kind in ("vae", "gan"):
        yield from _models(
            f"generator-{kind}",
            ("kind", "config", "classes", "channels", "size", "reports", "config.width", "config.latent_dim"),
            rng,
        )


def _judges(rng: random.Random) -> Iterator[Case]:
    good = {
        "kind": "synaug judges 1",
        "classes": ["a", "b"],
        "folds": 2,
        "fold_of": {"x": 0},
        "members": [{"left_out": [0], "unseen": []}],
    }
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


def _checkpoints(rng: random.Random) -> Iterator[Case]:
    for name, data in _model_files(rng):
        yield Case("checkpoint", name, {"x.pt": data})
    for n, protocol in enumerate(range(6)):
        yield Case("checkpoint", f"pickle-{n}", {"x.pt": pickle.dumps([Trap()], protocol)})
    for n in range(12):
        yield Case("checkpoint", f"mutated-{n}", {}, (str(rng.randrange(10**6)),))


def _weights_files(rng: random.Random) -> Iterator[Case]:
    for name, data in _model_files(rng):
        yield Case("weights", name, {"x.safetensors": data})
    yield Case("weights", "other-format", {"x.pt": pickle.dumps(Trap())})


# ---- what comes over the wire, and by the command line ---------------------------------------------------------------


def _bodies(rng: random.Random) -> Iterator[Case]:
    part = b'--b\r\nContent-Disposition: form-data; name="f"; filename="%s"\r\n\r\nhello\r\n--b--\r\n'
    kinds = ("", "multipart/form-data; boundary=b", "multipart/form-data", "multipart/form-data; boundary=" + "b" * 500, "application/json", "text/html", "image/png", "\x00", "multipart/form-data; boundary=\"", "application/json; charset=evil")  # fmt: skip
    bodies = (
        b"", b"{}", b"[]", b"[" * 100_000, b'{"images": 3}', b'{"images": [null, {}, []]}', b'{"images": ["%%%"]}', b'{"images": [{"name": "../../x", "data": "aGk="}]}', b"--b", b"--b--", b"--b\r\n\r\n", part % b"../../x", part % b"\x1b[2J", part % (b"a" * 9000),
        part[:-5], b"--b\r\n" * 5000, b"--b\r\n" + b"X: y\r\n" * 5000, pickle.dumps(Trap()), b'{"images": [' + b'"",' * 5000 + b'""]}',
    )  # fmt: skip
    for n, kind in enumerate(kinds):
        for m, body in enumerate(bodies):
            if n in (1, 4) or (n + m) % 5 == 0:
                yield Case("body", f"body-{n}-{m}", {"x": body}, (kind,))


def _commands(rng: random.Random) -> Iterator[Case]:
    lines = (
        (), ("nonsense",), ("run",), ("run", "nowhere"), ("run", "\x00"), ("run", "s3://key:verysecret@bucket/x"), ("run", "http://user:verysecret@host/x"), ("run", "x.yaml"), ("run", "digits", "--set", "seed=["),
        ("run", "digits", "--set", "seed"), ("run", "\x1b[31m"), ("run", "/dev/zero"), ("run", "~nobodyatall"), ("sweep", "x.yaml"), ("sweep", "nowhere"), ("sweep", "digits"), ("predict", "model", "x.png"), ("predict", ".", "/dev/zero"),
        ("predict", "model"), ("models", "nonsense"), ("export",), ("report",), ("watch", "nowhere"), ("run", "a" * 5000), ("run", "x.yaml", "--json", "/dev/full/x"), ("--version", "extra"), ("--nonsense",), ("run", "digits", "--set", "name=\x1b[2J"),
        ("run", "\u202eevil"),
    )  # fmt: skip
    files = {
        "x.yaml": b"!!python/object/apply:os.system ['touch TRAP']",
        "x.npz": pickle.dumps(Trap()),
        "x.parquet": b"PAR1",
        "model/spec.json": b"{}",
        "model/weights.safetensors": pickle.dumps(Trap()),
        "x.png": b"",
    }
    for n, line in enumerate(lines):
        yield Case("command", f"command-{n}", files, line)
