from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from synaug_core.data import parquet
from synaug_core.data.imageset import ImageSet
from synaug_core.errors import ArtifactError


@pytest.fixture
def images():
    def make(n: int = 7, channels: int = 3, size: int = 16) -> ImageSet:
        stream = torch.Generator().manual_seed(n)
        return ImageSet(
            images=torch.randint(0, 256, (n, channels, size, size), generator=stream, dtype=torch.uint8),
            labels=torch.arange(n) % 2,
            classes=("röt", 'b"l,ue', "none"),
            ids=tuple(f"é/{i}" for i in range(n)),
            groups=tuple(f"g{i // 2}" for i in range(n)),
            provenance=tuple(json.dumps({"source": i}) for i in range(n)),
        )

    return make


def same(one: ImageSet, two: ImageSet) -> bool:
    texts = ("classes", "ids", "groups", "provenance")
    return (
        one.images.shape == two.images.shape
        and torch.equal(one.images, two.images)
        and torch.equal(one.labels, two.labels)
        and all(getattr(one, t) == getattr(two, t) for t in texts)
    )


@pytest.mark.parametrize("n", [0, 1, 7, 1100])
@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip(n, channels, images, tmp_path):
    before = images(n, channels)
    parquet.write(before, tmp_path / "new" / "a.parquet", split="train")
    assert same(before, parquet.read(tmp_path / "new" / "a.parquet"))
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.parquet"]


def test_equal_sets_give_equal_bytes(images, tmp_path):
    for name in ("a", "b"):
        parquet.write(images(600), tmp_path / name, split="val")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_layout_is_that_of_hugging_face(images, tmp_path):
    before = images(5)
    parquet.write(before, tmp_path / "a.parquet", split="test")
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.names == ["image", "label", "id", "split", "group", "provenance"]
    assert table.schema.field("image").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"] == {"names": list(before.classes), "_type": "ClassLabel"}
    assert features["id"] == {"dtype": "string", "_type": "Value"}
    first = Image.open(io.BytesIO(table.column("image")[0].as_py()["bytes"]))
    assert first.format == "PNG"
    np.testing.assert_array_equal(np.asarray(first), before.images[0].permute(1, 2, 0).numpy())
    assert set(table.column("split").to_pylist()) == {"test"}


def rewritten(path, change) -> None:
    table = pq.read_table(path)
    pq.write_table(change(table), path)


def with_image(table: pa.Table, data: bytes | None) -> pa.Table:
    cells = table.column("image").to_pylist()
    cells[0]["bytes"] = data
    return table.set_column(0, table.schema.field("image"), pa.array(cells, type=table.schema.field("image").type))


def png(mode: str, size: int) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (size, size)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace_schema_metadata({}),
        lambda t: t.drop_columns(["label"]),
        lambda t: t.set_column(1, "label", pa.array([9] * len(t))),
        lambda t: t.set_column(2, "id", pa.array([None] * len(t), type=pa.string())),
        lambda t: with_image(t, b"broken"),
        lambda t: with_image(t, None),
        lambda t: with_image(t, png("RGB", 17)),
        lambda t: with_image(t, png("L", 16)),
        lambda t: with_image(t, png("RGB", 16)[:-30]),
    ],
)
def test_other_files_are_refused(change, images, tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write(images(3), path, split="train")
    rewritten(path, change)
    with pytest.raises(ArtifactError, match=r"a.parquet is not an image set of synaug, or is damaged"):
        parquet.read(path)


def test_missing_truncated_and_foreign_files(images, tmp_path):
    path = tmp_path / "a.parquet"
    with pytest.raises(ArtifactError):
        parquet.read(path)
    parquet.write(images(3), path, split="train")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError):
        parquet.read(path)
    path.write_text("hello")
    with pytest.raises(ArtifactError):
        parquet.read(path)


def test_splits_are_read_with_the_images(images, tmp_path):
    before = images(5)
    parquet.write(before, tmp_path / "a.parquet", split="val")
    read, splits = parquet.read_with_splits(tmp_path / "a.parquet")
    assert same(before, read)
    assert splits == ("val",) * 5
