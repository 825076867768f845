from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from synaug_core.config import DataConfig, DuplicateConfig
from synaug_core.data import parquet
from synaug_core.data.decode import UnreadableError
from synaug_core.data.fingerprint import fingerprint
from synaug_core.data.imageset import ImageSet
from synaug_core.data.prepare import prepare
from synaug_core.data.reading import open_source
from synaug_core.data.sources import match_kind
from synaug_core.errors import DataError


def some(split: str, n: int = 12, channels: int = 3, classes: tuple[str, ...] = ("cat", "dog")) -> ImageSet:
    rng = np.random.default_rng(len(split))
    ids = tuple(f"{split}/{i}" for i in range(n))
    return ImageSet(
        images=torch.from_numpy(rng.integers(0, 256, (n, channels, 16, 16), dtype=np.uint8)),
        labels=torch.arange(n) % len(classes),
        classes=classes,
        ids=ids,
        groups=tuple(f"{split}-patient-{i // 2}" for i in range(n)),
        provenance=('{"source": "somewhere"}',) * n,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "sets"
    for split in ("train", "val", "test"):
        parquet.write(some(split), root / f"{split}.parquet", split=split)
    return root


def listed(path: Path, **changes: float) -> list[tuple[str, str, str | None, str | None]]:
    found = open_source(DataConfig(source=str(path)).model_copy(update=changes))
    return [(i.id, i.label, i.split, i.group) for i in found.items]


def test_a_folder_of_splits(folder: Path) -> None:
    assert match_kind(str(folder)).name == "parquet"
    found = open_source(DataConfig(source=str(folder)))
    assert (found.name, found.classes, len(found.items)) == ("sets", ("cat", "dog"), 36)
    rows = listed(folder)
    assert rows[0] == ("test/0", "cat", "test", "test-patient-0")
    assert {split for _, _, split, _ in rows} == {"train", "val", "test"}
    by_id = {i.id: i for i in found.items}
    np.testing.assert_array_equal(by_id["val/3"].image.read().pixels, some("val").images[3].permute(1, 2, 0).numpy())


def test_it_is_prepared_as_it_was_divided(folder: Path) -> None:
    prepared = prepare(DataConfig(source=str(folder)), seed=0)
    assert torch.equal(prepared.val.images, some("val").images)
    assert set(prepared.test.ids) == set(some("test").ids)


def test_one_file_has_no_split_of_its_own(folder: Path) -> None:
    assert match_kind(str(folder / "train.parquet")).name == "parquet"
    assert {split for _, _, split, _ in listed(folder / "train.parquet")} == {None}


def test_grey_images_stay_grey(tmp_path: Path) -> None:
    parquet.write(some("train", channels=1), tmp_path / "x.parquet", split="train")
    [first, *_] = open_source(DataConfig(source=str(tmp_path / "x.parquet"))).items
    np.testing.assert_array_equal(first.image.read().pixels, some("train", channels=1).images[0, 0].numpy())


def test_the_fingerprint_follows_the_bytes(folder: Path) -> None:
    whole, one = DataConfig(source=str(folder)), DataConfig(source=str(folder / "val.parquet"))
    before = fingerprint(whole), fingerprint(one)
    parquet.write(some("val", n=10), folder / "val.parquet", split="val")
    assert fingerprint(whole) != before[0]
    assert fingerprint(one) != before[1]


def test_a_folder_with_folders_is_one_of_class_folders(folder: Path) -> None:
    (folder / "cat").mkdir()
    assert match_kind(str(folder)).name == "folder"


def test_the_same_image_twice(folder: Path) -> None:
    parquet.write(some("train"), folder / "again.parquet", split="test")
    with pytest.raises(DataError, match=r"train.parquet: the image 'train/0' stands in sets twice"):
        listed(folder)


def test_other_classes_in_another_file(folder: Path) -> None:
    parquet.write(some("extra", classes=("zebra", "cat")), folder / "extra.parquet", split="train")
    assert open_source(DataConfig(source=str(folder))).classes == ("cat", "dog", "zebra")


@pytest.mark.parametrize("damage", ["noise", "cut", "foreign", "claims", "tall", "channels", "empty"])
def test_what_is_not_ours(folder: Path, damage: str) -> None:
    path = folder / "train.parquet"
    table = pq.read_table(path)
    metadata = dict(table.schema.metadata)
    if damage == "noise":
        path.write_bytes(b"PAR1" + bytes(500) + b"PAR1")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        pq.write_table(pa.table({"x": [1, 2]}), path)
    else:
        change = {"claims": ('"height": 16', '"height": 60000'), "tall": ('"height": 16', '"height": 17'),
                  "channels": ('"channels": 3', '"channels": 300000')}[damage]  # fmt: skip
        changed = metadata[b"synaug"].decode().replace(*change)
        assert changed != metadata[b"synaug"].decode()
        pq.write_table(table.replace_schema_metadata(metadata | {b"synaug": changed.encode()}), path)
    with pytest.raises(DataError, match=r"train\.parquet: cannot be read as a Parquet file of images \(") as caught:
        listed(folder)
    assert "\n" not in str(caught.value)


def test_image_sets_are_read_as_they_were_written(folder: Path) -> None:
    read = parquet.read(folder / "val.parquet")
    assert dataclasses.asdict(read).keys() == dataclasses.asdict(some("val")).keys()
    assert torch.equal(read.images, some("val").images)


def test_synthetic_images_cannot_stand_for_real_ones(folder: Path) -> None:
    real = some("more")
    mixed = dataclasses.replace(real, provenance=(*real.provenance[:-1], '{"generator": "autoencoder", "parents": []}'))
    parquet.write(mixed, folder / "more.parquet", split="train")
    with pytest.raises(DataError, match=r"more\.parquet: holds synthetic images, which cannot stand for real ones$"):
        listed(folder)


def test_a_file_is_decoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = pq.read_table
    monkeypatch.setattr(pq, "read_table", lambda path, **more: (opened.append(Path(path).name), real(path, **more))[1])
    assert {split for _, _, split, _ in listed(folder)} == {"train", "val", "test"}
    assert sorted(opened) == ["test.parquet", "train.parquet", "val.parquet"]


def encoded(count: int = 6) -> list[bytes]:
    out = []
    for n in range(count):
        buffer = io.BytesIO()
        Image.fromarray(np.random.default_rng(n).integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(buffer, "PNG")
        out.append(buffer.getvalue())
    return out


def test_a_table_that_others_wrote(tmp_path: Path) -> None:
    """Image bytes, a number and its name, as the blood cells of `data/large` have them; patients and splits count."""
    path, pictures = tmp_path / "cells.parquet", encoded()
    columns = {
        "image": pictures,
        "label": [1, 0, 1, 0, 1, 0],
        "class_name": ["mono", "eos"] * 3,
        "file_name": ["x"] * 6,
    }
    pq.write_table(pa.table(columns), path)
    found = open_source(DataConfig(source=str(path)))
    assert found.classes == ("eos", "mono")
    assert listed(path)[1] == ("cells/1", "eos", None, None)
    assert found.items[2].image.size() == (12, 12)
    np.testing.assert_array_equal(found.items[2].image.read().pixels, np.asarray(Image.open(io.BytesIO(pictures[2]))))
    pq.write_table(pa.table(columns | {"groups": [7, 7, 8, 8, 9, 9], "split": ["train"] * 4 + ["test"] * 2}), path)
    assert listed(path)[4:] == [("cells/4", "mono", "test", "9"), ("cells/5", "eos", "test", "9")]
    pq.write_table(pa.table(columns | {"group": ["p", None, "p", "q", None, "q"]}), path)
    assert [group for *_, group in listed(path)] == ["p", None, "p", "q", None, "q"]


def test_a_table_in_the_layout_of_hugging_face(tmp_path: Path) -> None:
    path = tmp_path / "hub.parquet"
    features = {"label": {"names": ["dog", "cat"], "_type": "ClassLabel"}}
    table = pa.table({"image": [{"bytes": b, "path": None} for b in encoded()], "label": [0, 1, 1, 1, 0, 0]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    assert open_source(DataConfig(source=str(path))).classes == ("dog", "cat")
    assert [label for _, label, _, _ in listed(path)] == ["dog", "cat", "cat", "cat", "dog", "dog"]
    pq.write_table(table, path)
    assert open_source(DataConfig(source=str(path))).classes == ("0", "1")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": None}, "it needs the columns image and label; found: image"),
        ({"image": ["a"] * 6}, "image must be the bytes of image files, and is string"),
        ({"label": [0, 1, None, 1, 0, 0]}, "a label or class name is missing"),
        ({"label": [0, 1, -1, -1, 0, 1]}, "label is negative, which is no class, 2 times: leave images without"),
        ({"label": [0.5] * 6}, "label must be whole numbers or texts"),
        ({"class_name": list("abcdef")}, "one label has two class names"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    columns: dict[str, Any] = {"image": encoded(), "label": [0, 1, 1, 1, 0, 0]} | changes
    pq.write_table(pa.table({k: v for k, v in columns.items() if v is not None}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=rf"x\.parquet: cannot be read as a Parquet file of images \({words}"):
        listed(tmp_path / "x.parquet")


def test_a_broken_picture_in_a_table_is_rejected_alone(tmp_path: Path) -> None:
    pictures = [p for n in range(4) for p in encoded()]
    pictures[3] = b"no picture"
    pq.write_table(pa.table({"image": pictures, "label": ["a", "b"] * 12}), tmp_path / "x.parquet")
    config = DataConfig(
        source=str(tmp_path / "x.parquet"),
        duplicates=DuplicateConfig(distance=-1, conflicting_labels="keep"),
        min_per_class=1,
        max_rejected=0.1,
    )
    report = prepare(config, seed=0).report
    assert [(r.path, r.reason) for r in report.rejected] == [("x/3", "not a JPEG, PNG, BMP, TIFF or WebP image")]


def of_the_hub(path: Path, count: int = 6, column: str = "image", label: str = "label", **more: object) -> None:
    features = {column: {"_type": "Image"}, label: {"names": ["dog", "cat"], "_type": "ClassLabel"}}
    columns = {
        column: [{"bytes": b, "path": None} for b in encoded(count)],
        label: [n % 2 for n in range(count)],
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pa.table(columns).replace_schema_metadata(facts), path)


def test_columns_of_other_names(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    of_the_hub(path, column="picture", label="fine_label", thumb=[b"x"] * 6, label_text=["?"] * 6)
    assert [label for _, label, _, _ in listed(path)] == ["dog", "cat"] * 3
    pq.write_table(pa.table({"img": encoded(), "target": ["a", "b"] * 3, "patient_id": list("ppqqrr")}), path)
    assert [(label, group) for _, label, _, group in listed(path)][:3] == [("a", "p"), ("b", "p"), ("a", "q")]
    pq.write_table(pa.table({"one": encoded(), "two": encoded(), "label": [0, 1] * 3}), path)
    with pytest.raises(DataError, match="one and two may each be the images; name the right one image"):
        listed(path)
    pq.write_table(pa.table({"image": encoded(), "dx": [0, 1] * 3, "category": [1, 0] * 3}), path)
    with pytest.raises(DataError, match="dx and category may each be the class; name the right one label"):
        listed(path)


def test_a_repository_of_the_hub(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001", "validation-00000-of-00001"):
        of_the_hub(root / "data" / f"{name}.parquet")
    (root / "README.md").write_text("pets")
    assert match_kind(str(root)).name == "parquet"
    assert [split for _, _, split, _ in listed(root)] == ["test"] * 6 + ["train"] * 12 + ["val"] * 6
    of_the_hub(root / "small" / "train.parquet")
    with pytest.raises(DataError, match=r"has several data sets \(data, small\); give one, such as .*data"):
        listed(root)


def test_images_beside_their_table(tmp_path: Path) -> None:
    path, data = tmp_path / "set" / "x.parquet", encoded(3)
    (path.parent / "images").mkdir(parents=True)
    (path.parent / "images" / "a.png").write_bytes(data[0])
    (tmp_path / "b.png").write_bytes(data[1])
    rows = [
        {"bytes": None, "path": "images/a.png"}, {"bytes": None, "path": "../b.png"}, {"bytes": None, "path": "c.png"},
        {"bytes": data[2], "path": "anything.png"},
    ]  # fmt: skip
    pq.write_table(pa.table({"image": rows, "label": [0, 1, 0, 1]}), path)
    items = open_source(DataConfig(source=str(path))).items
    assert items[0].image.size() == items[3].image.size() == (12, 12)
    for n, words in ((1, "leaves the table's folder"), (2, "is not beside it")):
        with pytest.raises(UnreadableError, match=words):
            items[n].image.read()
