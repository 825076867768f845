"""Valid images, for cases to start from."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from corpus.cases import Files
from PIL import Image


def encode(pixels: Any, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def plain_image(number: int, side: int = 16) -> bytes:
    """A small valid PNG, unlike its neighbours."""
    rng = np.random.default_rng(number)
    return encode(rng.integers(0, 256, (side, side, 3), dtype=np.uint8), "PNG")


def class_folders(counts: dict[str, int], first: int = 0) -> Files:
    """Valid images in class folders."""
    names = [(name, i) for name, count in counts.items() for i in range(count)]
    return {f"data/{name}/{i:03}.png": plain_image(first + n) for n, (name, i) in enumerate(names)}


def valid_images() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)
    grey16 = rng.integers(0, 65536, (12, 12), dtype=np.uint16)
    rgba = rng.integers(0, 256, (12, 12, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = 6
    return {
        "jpeg": encode(rgb, "JPEG"),
        "jpeg-progressive": encode(rgb, "JPEG", progressive=True, exif=exif.tobytes()),
        "png": encode(rgb, "PNG"),
        "png16": encode(grey16, "PNG"),
        "rgba": encode(rgba, "PNG"),
        "bmp": encode(rgb, "BMP"),
        "tiff": encode(rgb, "TIFF"),
        "tiff-deflate": encode(rgb, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-lzw": encode(rgb, "TIFF", compression="tiff_lzw"),
        "tiff-float": encode(rng.random((9, 9), dtype=np.float32), "TIFF"),
        "webp": encode(rgb, "WEBP"),
        "webp-lossless": encode(rgba, "WEBP", lossless=True),
        "gif": encode(rgb[..., 0], "GIF"),
    }
