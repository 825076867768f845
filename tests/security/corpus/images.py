"""Hostile images."""

from __future__ import annotations

import pickle
import random
import struct
import zlib
from collections.abc import Iterator
from functools import cache

from corpus.archives import zipped
from corpus.cases import Case, Trap, mutated
from corpus.pictures import class_folders, valid_images


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, body: bytes, extra: bytes = b"", bits: int = 8, colour: int = 0) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + extra + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _tiff(entries: list[tuple[int, int, int, int]], following: int = 0, tail: bytes = b"") -> bytes:
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", following) + tail


@cache
def made_images() -> tuple[tuple[str, bytes], ...]:
    """Every image that is made by hand; some take a while to compress."""
    return tuple(_made())


def _made() -> Iterator[tuple[str, bytes]]:
    valid = valid_images()
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
    yield "polyglot-zip", valid["png"] + zipped({"../../evil": b"x"})
    yield "polyglot-pickle", valid["jpeg"] + pickle.dumps(Trap())
    yield "polyglot-html", valid["jpeg"][:2] + b"\xff\xfe\x00\x1c<script>alert(1)</script>" + valid["jpeg"][2:]
    yield from (
        ("svg", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'), ("pdf", b"%PDF-1.7\n"),
        ("eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) (w) file\n"), ("elf", b"\x7fELF" + bytes(60)),
        ("zip", zipped({"a": b"b"})), ("pickle", pickle.dumps(Trap())), ("xbm", b"#define x_width 99999\n"),
        ("ppm", b"P6 99999 99999 255\n"), ("ico", b"\0\0\1\0\1\0"), ("jp2", b"\0\0\0\x0cjP  \r\n\x87\n"),
        ("psd", b"8BPS\0\1"), ("fits", b"SIMPLE  =                    T"), ("iptc", b"\x1c\x02\x78\0\3abc"),
        ("shell", b"#!/bin/sh\ntouch TRAP\n"),
        ("lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        ("xml", b'<?xml version="1.0"?><!DOCTYPE a>'),
    )  # fmt: skip
    yield "gif", valid["gif"]


def images(rng: random.Random) -> Iterator[Case]:
    made = made_images()
    for name, data in made:
        yield Case("image", name, {"x": data})
    for name, data in valid_images().items():
        for cut in (1, 8, 30, len(data) // 2, len(data) - 1):
            yield Case("image", f"{name}-cut-{cut}", {"x": data[:cut]})
        for n in range(18):
            yield Case("image", f"{name}-mutated-{n}", {"x": mutated(data, rng)})
    good = class_folders({"a": 12, "b": 12})
    wrong = (".png", ".jpg", ".tif", ".webp", ".bmp")
    for n, (name, data) in enumerate(made[::3]):
        yield Case("folder", f"image-{name}", {**good, f"data/a/bad{wrong[n % 5]}": data})
