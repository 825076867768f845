"""Small folders of images, and the real data sets where they are."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def picture() -> Callable[..., np.ndarray]:
    """A random but smooth image that is unlike that of any other number."""

    def make(number: int, height: int = 24, width: int = 24, colour: bool = True) -> np.ndarray:
        small = np.random.default_rng(number).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(image if colour else image.convert("L"))

    return make


@pytest.fixture
def encode() -> Callable[..., bytes]:
    def make(image: Image.Image | np.ndarray, kind: str = "PNG", **options: object) -> bytes:
        buffer = io.BytesIO()
        picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
        picture.save(buffer, kind, **options)
        return buffer.getvalue()

    return make


@pytest.fixture
def make_folder(tmp_path: Path, picture: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """`make_folder({"cat": 8, "dog": 8})` or `{"train/cat": 8, ...}`: unlike PNG images 0.png, 1.png, ..."""

    def make(counts: dict[str, int], name: str = "pets", first: int = 0, **shape: int) -> Path:
        root = tmp_path / name
        number = first
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                Image.fromarray(picture(number, **shape)).save(root / folder / f"{i}.png")
                number += 1
        return root

    return make


@pytest.fixture
def real_data() -> Path:
    path = Path(os.environ.get("SYNAUG_DATA", Path(__file__).parents[4] / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"the real data sets are not at {path}; set SYNAUG_DATA")
    return path
