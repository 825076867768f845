from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from synaug_core import digests
from synaug_core.data import parquet
from synaug_core.data.imageset import ImageSet
from synaug_core.refs import DatasetRef, ImageSetRef, Reference, RunRef


@pytest.fixture
def parent() -> RunRef:
    return RunRef(run_id="parent", experiment="synaug/x", tracking_uri="sqlite:////nowhere")


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., ImageSetRef]:
    """Writes images to a Parquet file; the pixels of an image are its number in the set."""

    def write(name: str, labels: list[int], classes: tuple[str, ...] = ("a", "b")) -> ImageSetRef:
        n = len(labels)
        images = ImageSet(
            images=torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1).expand(n, 1, 16, 16).contiguous(),
            labels=torch.tensor(labels, dtype=torch.int64),
            classes=classes,
            ids=tuple(f"{name}{i}" for i in range(n)),
            groups=tuple(f"{name}{i}" for i in range(n)),
            provenance=('{"source": "test"}',) * n,
        )
        path = tmp_path / f"{name}.parquet"
        parquet.write(images, path, split=name)
        return ImageSetRef(uri=path.as_uri(), sha256=digests.of_file(path), run_id="run", counts=images.counts())

    return write


@pytest.fixture
def dataset(stored: Callable[..., ImageSetRef]) -> DatasetRef:
    sets = {name: stored(name, labels) for name, labels in (("train", [0, 0, 0, 1]), ("val", [0, 1]), ("test", [1]))}
    return DatasetRef(
        name="x",
        digest="0" * 64,
        classes=("a", "b"),
        channels=1,
        image_size=16,
        fit="crop",
        report=Reference(uri="file:///nowhere", sha256="1" * 64, run_id="run"),
        rejected=0,
        run_id="run",
        **sets,
    )
