"""Classes, groups and splits from files, as people and their tools write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synaug_core.config import DataConfig
from synaug_core.config.load import load
from synaug_core.data.reading import list_images
from synaug_core.data.sources.labels import read_labels
from synaug_core.errors import ConfigError, DataError

ROWS = [("0.png", "Kätzchen"), ("1.png", "dog"), ("2.png", "dog"), ("3.png", "Kätzchen")]
LABELS = dict(ROWS)


@pytest.fixture
def images(make_folder) -> Path:
    """Four images in no class folder."""
    root = make_folder({".": 4})
    assert sorted(p.name for p in root.iterdir()) == [name for name, _ in ROWS]
    return root


def listed(root: Path, **options: object):
    return list_images(DataConfig(source=str(root), **options))


def classes_in(root: Path, **options: object) -> dict[str, str]:
    return {item.id: item.label for item in listed(root, **options).items}


def table(delimiter: str = ",", heading: str = "id,label", end: str = "\n", rows=ROWS) -> str:
    lines = [heading, *(f"{name},{label}" for name, label in rows)]
    return end.join(lines).replace(",", delimiter) + end


@pytest.mark.parametrize(
    "data",
    [
        table().encode(),
        table(";").encode("utf-8-sig"),
        table(";", end="\r\n").encode("cp1252"),
        table("\t").encode("utf-16"),
        table("\t").encode("utf-16-le"),
        ("sep=;\r\n" + table(";", end="\r\n")).encode("latin-1"),
        ('"sep=|"\n' + table("|")).encode(),
        (table(";", end=";\r\n") + ";;\r\n").encode(),
        table(",", "File Name,Class").encode(),
        table(",", "image_id,dx", rows=[(name[0], label) for name, label in ROWS]).encode(),
        table(",", "path,category", rows=[(f"C:\\scans\\{name}", label) for name, label in ROWS]).encode(),
        table(",", "file_name,label", rows=[(f"./{name}", label) for name, label in ROWS]).encode(),
    ],
    ids=["plain", "bom", "latin", "utf-16", "utf-16 unmarked", "sep", "bar", "ends", "names", "stems", "paths", "dots"],
)
def test_tables_as_spreadsheets_and_people_write_them(images: Path, data: bytes) -> None:
    (images / "labels.csv").write_bytes(data)
    assert classes_in(images) == LABELS
    assert classes_in(images, metadata="labels.csv") == LABELS


def test_what_was_assumed_is_said(images: Path) -> None:
    (images / "labels.csv").write_bytes(table(";", end="\r\n").replace("label", "label;age").encode("cp1252"))
    with pytest.raises(DataError, match="row 2 has not 3 values"):
        listed(images)
    rows = [(name, f"{label},7") for name, label in ROWS]
    (images / "labels.csv").write_bytes(table(heading="id,label,age", rows=rows).encode("cp1252"))
    assert listed(images).notes == (
        "The classes are read from labels.csv.",
        "labels.csv is not in UTF-8 and was read as Latin-1 (Windows); check letters with accents.",
        "labels.csv: columns that are not used: age.",
    )


def test_groups_and_splits_are_read_by_their_usual_names(images: Path) -> None:
    rows = [(n, f"{label},p{i // 2},{'test' if i > 1 else 'training'}") for i, (n, label) in enumerate(ROWS)]
    (images / "labels.csv").write_text(table(heading="filename,diagnosis,Patient ID,set", rows=rows))
    found = [(item.id, item.label, item.group, item.split) for item in listed(images).items]
    assert found[0] == ("0.png", "Kätzchen", "p0", "train")
    assert found[3] == ("3.png", "Kätzchen", "p1", "test")


def test_a_class_for_each_column(images: Path) -> None:
    """As the challenges of ISIC and the exports of Roboflow have it."""
    (images / "truth.csv").write_text("image,MEL,NV\n0,1.0,0.0\n1,0.0,1.0\n2,0.0,1.0\n3,1.0,0.0\n")
    assert classes_in(images) == {"0.png": "MEL", "1.png": "NV", "2.png": "NV", "3.png": "MEL"}


def test_of_two_columns_that_say_the_same_the_one_in_words_is_taken(images: Path) -> None:
    rows = [(name, f"{int(label == 'dog')},{label}") for name, label in ROWS]
    (images / "labels.csv").write_text(table(heading="id,label,class_name", rows=rows))
    assert classes_in(images) == LABELS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,lable\n0.png,a\n", "the column 'lable' is not known; is label meant"),
        (
            "id,diagnosis,category\n0.png,a,x\n1.png,a,y\n",
            "diagnosis and category may each be the class; name the right",
        ),
        ("id,label\n9.png,a\n", "1 ids are not images of pets, such as '9.png'; .* such as '0.png'"),
        ("id,label,id\n0.png,a,b\n", "several columns are named 'id'"),
        ("PK\x03\x04", "an Excel workbook or another archive; save it as CSV"),
        ("id,label\n0.png,a\n0,b\n", "'0' occurs twice"),
    ],
)
def test_what_can_be_read_in_two_ways_is_named(images: Path, text: str, message: str) -> None:
    (images / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        listed(images)


def test_a_name_that_fits_two_images_is_named(make_folder) -> None:
    root = make_folder({"images/a": 2, "images/b": 2})
    (root / "about.csv").write_text("id,label\n0.png,cat\n1.png,dog\n")
    with pytest.raises(DataError, match=r"'0.png' may be images/a/0.png or images/b/0.png; give the whole path"):
        listed(root, metadata="about.csv")
    (root / "about.csv").write_text("id,label\na/0.png,cat\nb/1.png,dog\n")
    assert classes_in(root, metadata="about.csv") == {"images/a/0.png": "cat", "images/b/1.png": "dog"}


def test_the_column_that_names_images_best_counts(images: Path) -> None:
    """Row numbers look like the names of images too."""
    (images / "labels.csv").write_text("id,file,label\n3,0.png,a\n2,1.png,b\n1,2.png,b\n0,3.png,b\n")
    assert classes_in(images) == {"0.png": "a", "1.png": "b", "2.png": "b", "3.png": "b"}
    (images / "labels.csv").write_text("id,file,label\n3,0,a\n2,1,b\n1,2,b\n0,3,b\n")
    with pytest.raises(DataError, match="several columns name images, and not the same ones; leave the right one"):
        listed(images)


def test_class_folders_are_what_they_are_unless_a_file_is_named(make_folder) -> None:
    root = make_folder({"cat": 2, "dog": 2})
    (root / "labels.csv").write_text("id,label\ncat/0.png,old\ncat/1.png,young\ndog/0.png,old\ndog/1.png,old\n")
    assert set(classes_in(root).values()) == {"cat", "dog"}
    assert set(classes_in(root, metadata="labels.csv").values()) == {"old", "young"}


def test_two_tables_that_may_be_meant_are_named(images: Path) -> None:
    (images / "old.csv").write_text(table())
    (images / "new.csv").write_text(table())
    with pytest.raises(DataError, match=r"new.csv, old.csv may each name the classes: .* --set data.metadata=new.csv"):
        listed(images)
    (images / "new.csv").write_text("a,b\n1,2\n")
    assert classes_in(images) == LABELS


def test_image_folders_of_hugging_face(make_folder) -> None:
    root = make_folder({"train": 3, "test": 2})
    lines = [json.dumps({"file_name": f"{n}.png", "label": "cat" if n else "dog", "text": "x"}) for n in range(3)]
    (root / "train" / "metadata.jsonl").write_text("\n".join(lines))
    (root / "test" / "metadata.csv").write_text("file_name,label\n0.png,dog\n1.png,cat\n")
    found = {item.id: (item.label, item.split) for item in listed(root).items}
    assert found == {
        "train/0.png": ("dog", "train"), "train/1.png": ("cat", "train"), "train/2.png": ("cat", "train"),
        "test/0.png": ("dog", "test"), "test/1.png": ("cat", "test"),
    }  # fmt: skip


COCO = {
    "images": [{"id": 7 + n, "file_name": name} for n, (name, _) in enumerate(ROWS)],
    "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "Kätzchen"}],
    "annotations": [{"id": n, "image_id": 7 + n, "category_id": 1 if label == "dog" else 2, "bbox": [0, 0, 1, 1]}
                    for n, (_, label) in enumerate(ROWS)],
}  # fmt: skip
STUDIO = [
    {"id": n, "data": {"image": f"/data/upload/3/0a1b2c3d-{name}"},
     "annotations": [{"was_cancelled": False, "result": [{"type": "choices", "value": {"choices": [label]}}]},
                     {"was_cancelled": True, "result": [{"type": "choices", "value": {"choices": ["other"]}}]}]}
    for n, (name, label) in enumerate(ROWS)
]  # fmt: skip
STUDIO_MIN = [
    {"id": n, "image": f"/data/local-files/?d=scans/{name}", "choice": label} for n, (name, label) in enumerate(ROWS)
]
FIFTYONE = {"classes": ["Kätzchen", "dog"], "labels": {name[0]: int(label == "dog") for name, label in ROWS}}
SAMPLES = {"samples": [{"filepath": f"data/{name}", "ground_truth": {"_cls": "Classification", "label": label},
                        "model": {"_cls": "Classification", "label": "dog"}} for name, label in ROWS]}  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [COCO, STUDIO, STUDIO_MIN, FIFTYONE, SAMPLES, LABELS, [{"file": name, "class": label} for name, label in ROWS]],
    ids=["coco", "label studio", "label studio min", "fiftyone", "fiftyone samples", "mapping", "records"],
)
def test_exports_of_tools(images: Path, content: object) -> None:
    (images / "labels.json").write_text(json.dumps(content))
    assert classes_in(images) == LABELS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**COCO, "annotations": [*COCO["annotations"], {"id": 9, "image_id": 7, "category_id": 1}]},
         r"1 images are of several classes, such as 0.png \(Kätzchen, dog\): a classifier needs one"),
        ({**COCO, "categories": []}, "is not complete as a file of COCO"),
        ({"a": 1}, "names no classes in a way that is known: COCO, Label Studio or FiftyOne"),
        ([{"data": {"image": "0.png"}, "annotations": [{"result": []}]}], "no image has a class"),
        ({"samples": [{"filepath": "a", "x": {"_cls": "Classification"}, "y": {"_cls": "Classification"}}]},
         "x, y may be the class; export one classification"),
        ({"samples": [{"filepath": "a", "x": {"_cls": "Classification", "label": "b"}, "tags": 7}]},
         "is not complete as a file of FiftyOne"),
    ],
)  # fmt: skip
def test_exports_that_cannot_be_read_in_one_way(tmp_path: Path, content: object, message: str) -> None:
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        read_labels(tmp_path / "x.json")


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\xff\x00"])
def test_damaged_files_are_one_clear_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"^x.json: cannot be read as") as caught:
        read_labels(tmp_path / "x.json")
    assert "\n" not in str(caught.value)


def test_a_source_may_be_the_file_that_names_the_classes(images: Path, tmp_path: Path) -> None:
    (images / "labels.csv").write_text(table())
    config = load(str(images / "labels.csv"))
    assert (config.name, config.data.source) == ("pets", str(images))
    assert config.data.metadata == str(images / "labels.csv")
    assert {item.id: item.label for item in list_images(config.data).items} == LABELS
    (tmp_path / "x.yaml").write_text("data: {source: pets/labels.csv}\n")
    assert load(str(tmp_path / "x.yaml")).data == config.data
    with pytest.raises(ConfigError, match=r"data.source is such a file already"):
        load(str(tmp_path / "x.yaml"), [f"data.metadata={tmp_path / 'x.yaml'}"])
