from __future__ import annotations

import numpy as np
import pytest

from synaug_core.config import DataConfig
from synaug_core.data.reading import list_images
from synaug_core.errors import DataError


@pytest.fixture
def applied(make_folder):
    root = make_folder({"cat": 2, "dog": 1})

    def make(text: str | bytes):
        (root / "about.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        config = DataConfig(source=str(root), metadata="about.csv")
        return list_images(config)

    return make


def test_groups_and_splits(applied):
    found = applied("\ufeffsplit, id ,group\ntrain,cat/0.png,p1\nvalid,./cat/1.png,p2\nTest,dog\\0.png,\n")
    assert [(i.id, i.group, i.split) for i in found.items] == [
        ("cat/0.png", "p1", "train"), ("cat/1.png", "p2", "val"), ("dog/0.png", None, "test"),
    ]  # fmt: skip


def test_rows_may_be_missing(applied):
    assert [i.group for i in applied("id,group\ncat/1.png,p\n").items] == [None, "p", None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pupil,patient\nx,p\n", "columns must be id and, if wanted, label, group and split; found pupil, patient"),
        ("group\np\n", "found group"),
        ("", "found none"),
        ("id\ncat/9.png\n", r"1 ids are not images of pets, such as 'cat/9.png'; .* such as 'cat/0.png'"),
        ("id,split\ncat/0.png,dev\n", "row 2 has the split 'dev'"),
        ("id,split\ncat/0.png,train\n", "2 images have no split, such as 'cat/1.png'"),
        ("id\ncat/0.png\ncat/0.png\n", "'cat/0.png' occurs twice"),
        ("id,group\ncat/0.png\n", "row 2 has not 2 values"),
        ("id,group\ncat/0.png,a,b\n", "row 2 has not 2 values"),
        (b"\xff\xfeid\x00\xd8", "cannot be read as text"),
        ('id,group\n"cat/0.png', "cannot be read as a CSV file"),
    ],
)
def test_files_that_cannot_be_used(applied, text, message):
    with pytest.raises(DataError, match=message):
        applied(text)


def test_labels_stand_in_place_of_class_folders(make_folder):
    root = make_folder({"train": 3, "test/north": 1})
    text = "id,label,group\ntrain/0.png,dog,p\ntrain/1.png,café,\ntest/north/0.png,dog,q\n"
    (root / "about.csv").write_text(text)
    config = DataConfig(source=str(root), metadata="about.csv")
    found = list_images(config)
    assert found.classes == ("café", "dog")
    assert [(i.id, i.label, i.group, i.split) for i in found.items] == [
        ("test/north/0.png", "dog", "q", "test"), ("train/0.png", "dog", "p", "train"),
        ("train/1.png", "café", None, "train"),
    ]  # fmt: skip
    assert [(r.path, r.reason) for r in found.rejected] == [("train/2.png", "has no label in about.csv")]


def test_labels_are_named_for_all_rows_and_agree_with_arrays(make_folder, tmp_path):
    root = make_folder({"cat": 1, "dog": 1})
    (root / "about.csv").write_text("id,label\ncat/0.png,cat\ndog/0.png,\n")
    with pytest.raises(DataError, match="1 of 2 rows have no label"):
        list_images(DataConfig(source=str(root), metadata="about.csv"))
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 20, 20), np.uint8), labels=np.arange(2))
    (tmp_path / "about.csv").write_text("id,label\nimages/0,1\n")
    config = DataConfig(source=str(tmp_path / "x.npz"), metadata=str(tmp_path / "about.csv"))
    with pytest.raises(DataError, match=r"'images/0' is of the class '1' there and '0' in x.npz"):
        list_images(config)


@pytest.mark.parametrize("marker", ["NA", "nan", "none", "N/A", "null", "-", "<NA>", "Unknown"])
def test_usual_markers_mean_no_group(marker, applied):
    found = applied(f"id,group\ncat/0.png,{marker}\ncat/1.png,{marker}\ndog/0.png,p\n")
    assert [item.group for item in found.items] == [None, None, "p"]
    assert found.notes == (
        f"2 images have a group named {marker!r} or the like, which is read as none: they need not stay together.",
    )


def test_markers_mean_no_group_in_arrays_too(tmp_path):
    groups = np.array(["nan", "p"])
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 20, 20), np.uint8), labels=np.arange(2), groups=groups)
    config = DataConfig(source=str(tmp_path / "x.npz"))
    assert [item.group for item in list_images(config).items] == [None, "p"]


def test_missing_file(make_folder):
    config = DataConfig(source=str(make_folder({"cat": 1, "dog": 1})), metadata="none.csv")
    with pytest.raises(DataError, match=r"data.metadata: there is no file none.csv"):
        list_images(config)
