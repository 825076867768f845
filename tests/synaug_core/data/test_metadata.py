from __future__ import annotations

import pytest

from synaug_core.config import DataConfig
from synaug_core.data.metadata import apply_metadata
from synaug_core.data.reading import open_source
from synaug_core.errors import DataError


@pytest.fixture
def applied(make_folder):
    root = make_folder({"cat": 2, "dog": 1})

    def make(text: str | bytes):
        (root / "about.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        config = DataConfig(source=str(root), metadata="about.csv")
        return apply_metadata(open_source(config), config)

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
        ("id,patient\ncat/0.png,p\n", "columns must be id and, if wanted, group and split; found id, patient"),
        ("group\np\n", "found group"),
        ("", "found none"),
        ("id\ncat/9.png\n", r"1 ids are not images of pets, such as 'cat/9.png'; .* such as 'cat/0.png'"),
        ("id,split\ncat/0.png,dev\n", "row 2 has the split 'dev'"),
        ("id,split\ncat/0.png,train\n", "2 images have no split, such as 'cat/1.png'"),
        ("id\ncat/0.png\ncat/0.png\n", "'cat/0.png' occurs twice"),
        ("id,group\ncat/0.png\n", "row 2 has not 2 values"),
        ("id,group\ncat/0.png,a,b\n", "row 2 has not 2 values"),
        (b"id,group\ncat/0.png,\xff\n", "cannot be read as a CSV file"),
        ('id,group\n"cat/0.png', "cannot be read as a CSV file"),
    ],
)
def test_files_that_cannot_be_used(applied, text, message):
    with pytest.raises(DataError, match=message):
        applied(text)


def test_missing_file(make_folder):
    config = DataConfig(source=str(make_folder({"cat": 1, "dog": 1})), metadata="none.csv")
    with pytest.raises(DataError, match=r"data.metadata: there is no file none.csv"):
        open_source(config)
