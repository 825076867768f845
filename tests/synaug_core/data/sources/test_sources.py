from __future__ import annotations

import os
import unicodedata
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from synaug_core.config import DataConfig
from synaug_core.data import sources
from synaug_core.data.decode import UnreadableError
from synaug_core.data.reading import open_source
from synaug_core.errors import DataError


def listed(root: Path, **options: object):
    return open_source(DataConfig(source=str(root), **options))


def reasons(listing) -> dict[str, str]:
    found = {r.path: r.reason for r in listing.rejected}
    for item in listing.items:
        try:
            item.image.read()
        except UnreadableError as error:
            found[item.id] = str(error)
    return found


def test_class_folders(make_folder):
    listing = listed(make_folder({"dog": 3, "cat": 2}))
    assert listing.name == "pets"
    assert listing.classes == ("cat", "dog")
    assert [i.id for i in listing.items] == ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png", "dog/2.png"]
    assert all(i.split is None and i.group is None for i in listing.items)
    assert listing.items[0].image.size() == (24, 24)


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "valid", "TEST"), ("training", "validation", "testing")]
)
def test_split_folders(names, make_folder):
    listing = listed(make_folder({f"{n}/{c}": 2 for n in names for c in ("cat", "dog")}))
    assert listing.classes == ("cat", "dog")
    assert {i.id.split("/")[0]: i.split for i in listing.items} == dict(
        zip(names, ("train", "val", "test"), strict=True)
    )


def test_a_class_may_be_called_train(make_folder):
    assert listed(make_folder({"car": 1, "train": 1})).classes == ("car", "train")


def test_split_folders_beside_others(make_folder):
    root = make_folder({"train/cat": 1, "train/dog": 1, "extra/cat": 1})
    with pytest.raises(DataError, match=r"split folders \(train\) beside others \(extra\)"):
        listed(root)


def test_documents_beside_split_folders_do_not_matter(make_folder):
    root = make_folder({"train/cat": 1, "train/dog": 1})
    (root / "docs").mkdir()
    (root / "docs" / "a.txt").write_text("read me")
    assert listed(root).classes == ("cat", "dog")


def test_no_train_folder(make_folder):
    with pytest.raises(DataError, match="has test, val but no train folder"):
        listed(make_folder({"test/cat": 1, "val/dog": 1}))


def test_deeper_folders_belong_to_their_class(make_folder):
    listing = listed(make_folder({"cat/p1": 2, "cat/p2": 1, "dog": 1}))
    assert [i.label for i in listing.items] == ["cat", "cat", "cat", "dog"]


def test_hidden_files_and_litter_are_ignored(make_folder):
    root = make_folder({"cat": 1, "dog": 1})
    for name in (".DS_Store", "Thumbs.db", "._0.png"):
        (root / "cat" / name).write_bytes(b"x")
    (root / ".cache").mkdir()
    (root / ".cache" / "0.png").write_bytes(b"x")
    (root / "README.md").write_text("about")
    assert reasons(listed(root)) == {}


def test_what_is_no_usable_image_has_a_reason(make_folder, tmp_path):
    root = make_folder({"cat": 2, "dog": 2})
    outside = tmp_path / "secret.png"
    Image.new("L", (8, 8)).save(outside)
    (root / "cat" / "notes.txt").write_text("hello")
    (root / "cat" / "empty.png").write_bytes(b"")
    (root / "cat" / "escape.png").symlink_to(outside)
    (root / "cat" / "nowhere.png").symlink_to(root / "none.png")
    (root / "cat" / "inside.png").symlink_to(root / "dog" / "0.png")
    (root / "cat" / "away").symlink_to(tmp_path)
    (root / "cat" / "loop.png").symlink_to("loop.png")
    (root / "stray.png").write_bytes((root / "dog" / "0.png").read_bytes())
    os.mkfifo(root / "cat" / "pipe.png")
    assert reasons(listed(root)) == {
        "cat/notes.txt": "not a JPEG, PNG, BMP, TIFF or WebP image",
        "cat/empty.png": "empty file",
        "cat/escape.png": "a link that leaves the folder; copy the data with cp -rL",
        "cat/nowhere.png": "a link that leads nowhere",
        "cat/loop.png": "a link that leads nowhere",
        "cat/away": "a link to a folder, which is not followed; copy the data with cp -rL",
        "cat/pipe.png": "not a regular file",
        "stray.png": "lies outside the class folders",
    }


def test_names_are_any_unicode(make_folder):
    root = make_folder({"Blütenköpfe 🌼": 1, unicodedata.normalize("NFD", "é"): 1, "a'b\"c": 1})
    assert set(listed(root).classes) == {"Blütenköpfe 🌼", "é", "a'b\"c"}
    assert reasons(listed(root)) == {}


def test_names_that_are_no_text(make_folder):
    root = make_folder({"cat": 1, "dog": 1})
    Path(os.fsdecode(os.fsencode(root / "cat") + b"/\xff.png")).write_bytes((root / "cat" / "0.png").read_bytes())
    assert reasons(listed(root)) == {"cat/\\xff.png": "its name is not valid UTF-8"}


def test_names_that_differ_in_form_only(make_folder):
    root = make_folder({"cat": 1, "dog": 1})
    for form in ("NFC", "NFD"):
        (root / "cat" / unicodedata.normalize(form, "é.png")).write_bytes((root / "cat" / "0.png").read_bytes())
    assert list(reasons(listed(root)).values()) == [
        "another file has the same name and folder, but for how accents are encoded (Unicode)"
    ]


def test_two_forms_of_a_folder_s_name_are_one_class(make_folder):
    root = make_folder({unicodedata.normalize("NFC", "café"): 1, unicodedata.normalize("NFD", "café"): 2, "tea": 1})
    assert listed(root).classes == ("café", "tea")
    assert reasons(listed(root)) == {
        "café/0.png": "another file has the same name and folder, but for how accents are encoded (Unicode)"
    }


def test_folders_without_images_are_no_classes(make_folder):
    root = make_folder({"cat": 1, "dog": 1, "logs": 0, "annotations": 0, "eel/old": 0})
    (root / "annotations" / "0.xml").write_text("<annotation/>")
    listing = listed(root)
    assert listing.classes == ("cat", "dog")
    assert listing.notes == ("Folders without images are no classes: annotations, eel, logs.",)
    assert reasons(listing) == {}


@pytest.mark.parametrize(
    "folder", ["@eaDir", "cat/@eaDir/0.png", "$RECYCLE.BIN", "#recycle", "lost+found", "System Volume Information"]
)
def test_folders_of_systems_are_neither_classes_nor_images(folder, make_folder):
    listing = listed(make_folder({"cat": 1, "dog": 1, folder: 2}))
    assert listing.classes == ("cat", "dog")
    assert len(listing.items) == 2


@pytest.mark.parametrize(
    "name", ["0_mask.png", "0_mask_1.png", "0-Segmentation.tif", "masks/0.png", "masks/0_mask.png", "labels/0.bmp"]
)
def test_masks_are_no_images(name, make_folder):
    root = make_folder({"cat": 1, "dog": 1})
    (root / "cat" / name).parent.mkdir(exist_ok=True)
    (root / "cat" / name).write_bytes((root / "dog" / "0.png").read_bytes())
    listing = listed(root)
    assert [item.id for item in listing.items] == ["cat/0.png", "dog/0.png"]
    [note] = listing.notes
    assert note.startswith("1 file is a mask beside the image of the same name, and not read as images")


def test_masks_in_a_folder_beside_the_images(make_folder):
    listing = listed(make_folder({"cat/images": 2, "cat/masks": 2, "dog/images": 1, "dog/masks": 1}))
    assert [item.id for item in listing.items] == ["cat/images/0.png", "cat/images/1.png", "dog/images/0.png"]


def test_a_class_may_be_called_mask(make_folder):
    listing = listed(make_folder({"mask": 2, "no_mask": 2}))
    assert len(listing.items) == 4
    assert listing.notes == ()
    root = make_folder({"with": 1, "without": 1}, name="faces")
    (root / "with" / "0.png").rename(root / "with" / "face_mask.png")
    assert len(listed(root).items) == 2


def test_classes_that_differ_in_case_alone_are_noted(make_folder):
    listing = listed(make_folder({"Cat": 1, "cat": 1, "dog": 1}))
    assert listing.classes == ("Cat", "cat", "dog")
    assert listing.notes == ("The classes Cat, cat differ in letter case alone: if they are one, give one name.",)


@pytest.mark.parametrize("train", ["Train_Set", "train_data", "trainset", "TrainImages", "train-jpg", "images_train"])
def test_split_folders_have_many_names(train, make_folder):
    test = train.replace("rain", "est")
    listing = listed(make_folder({f"{train}/cat": 1, f"{train}/dog": 1, f"{test}/cat": 1}))
    assert listing.classes == ("cat", "dog")
    assert [item.split for item in listing.items if item.id.startswith(test)] == ["test"]


@pytest.mark.parametrize(
    "folders", [("train", "test"), ("Train_Set", "Test_Set"), ("train", "val", "test"), ("images", "masks")]
)
def test_folders_that_name_no_classes_are_refused_and_a_table_is_offered(folders, make_folder):
    root = make_folder(dict.fromkeys(folders, 3))
    (root / "about.csv").write_text("id,label\n")
    with pytest.raises(DataError, match=r"name the classes in a CSV file .* label\); does about.csv have them"):
        listed(root)


@pytest.mark.parametrize(
    "counts",
    [
        {f"{site}/{name}": 2 for site in ("north", "south") for name in ("cat", "dog")},
        {f"patient{n}/{name}": 2 for n in range(4) for name in ("0", "1")},
        {f"fold_{n}/{name}": 1 for n in range(3) for name in ("cat", "dog")},
        {"p1/cat": 1, "p2/dog": 1, "p3/cat": 1, "p4/dog": 2, "p5/cat": 1},
        {f"train/{site}/{name}": 2 for site in ("north", "south") for name in ("cat", "dog")},
    ],
)
def test_a_level_above_the_classes_is_asked_about(counts, make_folder):
    root = make_folder(counts)
    with pytest.raises(DataError, match=r"has the same folders \((0, 1|cat, dog)\) in each of several others"):
        listed(root)
    tops = {name.split("/")[1 if name.startswith("train") else 0] for name in counts}
    assert set(listed(root, classes=tuple(tops)).classes) == tops


def test_numbered_folders_within_classes_are_no_level_above(make_folder):
    counts = {f"{name}/{n}": 1 for name in ("cat", "dog") for n in range(1, 4)}
    assert listed(make_folder(counts)).classes == ("cat", "dog")
    assert listed(make_folder({"cat/garden": 1, "cat/house": 1, "dog/street": 1}, "mixed")).classes == ("cat", "dog")


def test_splits_below_the_classes_are_refused(make_folder):
    root = make_folder({f"{name}/{split}": 2 for name in ("cat", "dog") for split in ("train", "test")})
    for options in ({}, {"classes": ("cat", "dog")}):
        with pytest.raises(DataError, match=r"put them above the classes \(test/cat\)"):
            listed(root, **options)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"images": 3}, "only one class, 'images'.*name the classes in a CSV file"),
        ({"": 3}, "has 3 images but no class folders; put the images of each class into a folder"),
        ({"a": 0, "b": 0}, "has no images"),
        ({"cat": 2}, "only one class, 'cat'; at least two are needed"),
        ({"wbc/cat": 1, "wbc/dog": 1}, r"only one class, 'wbc'.*\(cat, dog, ...\) are the classes, give .*pets/wbc"),
    ],
)
def test_folders_that_cannot_be_used(counts, message, make_folder):
    with pytest.raises(DataError, match=message):
        listed(make_folder(counts))


def test_linked_split_folder_is_refused(make_folder, tmp_path):
    root = make_folder({"train/cat": 1, "train/dog": 1})
    elsewhere = make_folder({"cat": 1, "dog": 1}, name="other")
    (root / "test").symlink_to(elsewhere)
    with pytest.raises(DataError, match="test is a link to a folder, which is not followed"):
        listed(root)


def test_a_link_to_the_source_itself_is_followed(make_folder, tmp_path):
    (tmp_path / "link").symlink_to(make_folder({"cat": 1, "dog": 1}))
    assert reasons(listed(tmp_path / "link")) == {}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("s3://bucket/images", "s3:// is not on this machine"),
        ("/no/such/place", "there is no folder or file /no/such/place"),
        ("images.zip", "neither a folder nor an .npz or .parquet file"),
    ],
)
def test_other_sources(source, message, tmp_path):
    (tmp_path / "images.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=message):
        open_source(DataConfig(source=str(tmp_path / source) if source.endswith("zip") else source))


def test_digits():
    listing = open_source(DataConfig(source="digits"))
    assert len(listing.items) == 1797
    assert listing.classes == tuple("0123456789")
    data = load_digits()
    np.testing.assert_array_equal(listing.items[7].image.read().pixels, np.rint(data.images[7] / 16 * 255))
    assert [i.label for i in listing.items] == [str(t) for t in data.target]


@pytest.fixture
def npz(tmp_path):
    def make(**changes: object) -> Path:
        rng = np.random.default_rng(0)
        arrays: dict[str, object] = {}
        for split, count in (("train", 6), ("val", 2), ("test", 4)):
            arrays[f"{split}_images"] = rng.integers(0, 256, (count, 20, 20, 3), dtype=np.uint8)
            arrays[f"{split}_labels"] = (np.arange(count, dtype=np.uint8) % 2)[:, None]
        arrays |= changes
        path = tmp_path / "set.npz"
        np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
        return path

    return make


def test_npz(npz):
    listing = listed(npz())
    assert listing.name == "set.npz"
    assert listing.classes == ("0", "1")
    assert [(i.id, i.label, i.split) for i in listing.items][5:8] == [
        ("train/5", "1", "train"), ("val/0", "0", "val"), ("val/1", "1", "val"),
    ]  # fmt: skip


def test_npz_classes_are_in_numeric_order_and_may_have_names(npz):
    assert listed(npz(train_labels=np.array([0, 1, 10, 2, 10, 0]))).classes == ("0", "1", "2", "10")
    assert listed(npz(class_names=np.array(["benign", "malignant"]))).classes == ("benign", "malignant")


def test_npz_splits_have_other_names(npz):
    pixels = np.zeros((3, 20, 20), dtype=np.uint8)
    path = npz(val_images=None, val_labels=None, valid_images=pixels, valid_labels=np.array([0, 1, 1]))
    assert [(i.id, i.split) for i in listed(path).items if i.split == "val"] == [
        ("valid/0", "val"), ("valid/1", "val"), ("valid/2", "val"),
    ]  # fmt: skip


def test_npz_with_training_images_only_has_no_split(npz):
    listing = listed(npz(val_images=None, val_labels=None, test_images=None, test_labels=None))
    assert {i.split for i in listing.items} == {None}


@pytest.mark.parametrize("shape", [(6, 20, 20), (6, 20, 20, 1)])
def test_npz_grey(npz, shape):
    assert listed(npz(train_images=np.ones(shape, dtype=np.uint8))).items[0].image.read().pixels.shape == (20, 20)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": None}, r"train_labels, or images and labels, are missing \(found: .*val_images"),
        ({"test_labels": None}, "test_labels is missing"),
        ({"train_images": np.zeros((6, 20, 20), dtype=np.float32)}, "must be uint8 .* is float32"),
        ({"train_images": np.zeros((6, 8, 8, 8), dtype=np.uint8)}, "must be uint8 of shape"),
        ({"train_images": np.zeros((6, 0, 8), dtype=np.uint8)}, "0 x 8 pixels"),
        ({"train_labels": np.zeros((6, 3), dtype=np.uint8)}, "one label for each image"),
        ({"train_labels": np.zeros(6)}, "must be integers from 0 up, and is float64"),
        (
            {"train_labels": np.full(6, -1)},
            r"and has -1, which is no class \(6 of 6\): leave images without",
        ),
        ({"train_labels": np.array([0, 1, 1, 0, 1, 2**63], dtype=np.uint64)}, r"has 9223372036854775808, .*\(1 of 6\)"),
        ({"extra_images": np.zeros((6, 20, 20), dtype=np.uint8)}, "extra_images is of no split; name the arrays"),
        ({"images": np.zeros((6, 20, 20), dtype=np.uint8)}, "images is of no split; name the arrays"),
        ({"valid_images": np.zeros((6, 20, 20), dtype=np.uint8)}, "val_images, .*valid_images name a split twice"),
        ({"train_labels": np.zeros(5, dtype=int)}, "train_images has 6 images and train_labels 5 labels"),
        ({"class_names": np.array(["one"])}, "label 1 has no name in class_names"),
        ({"class_names": np.array(["one", "one"])}, "must be a list of distinct texts"),
        ({"train_labels": np.array([0, 1, None, 0, 1, 0])}, "cannot be read as an .npz file"),
        ({"class_names": np.array([97, 2**32 - 1], np.uint32).view("<U1")}, "class_names has what is no text"),
        ({"class_names": np.array([97 << 24, 2**32 - 1], np.uint32).view(">U1")}, "class_names has what is no text"),
        ({"class_names": np.empty(2**31, "V0")}, "class_names has values of no size"),
    ],
)
def test_npz_that_cannot_be_used(npz, changes, message):
    with pytest.raises(DataError, match=message):
        listed(npz(**changes))


def test_npz_of_one_undivided_set_with_groups(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 20, 20), dtype=np.uint8)
    path, labels = tmp_path / "set.npz", np.arange(6, dtype=np.uint8) % 2
    names, patients = np.array(["functional", "defective"]), np.array(["p1", "p1", "p2", "p2", "p3", "p3"])
    np.savez(path, images=pixels, labels=labels, class_names=names, groups=patients, defect_probability=labels / 2)
    listing = listed(path)
    assert listing.classes == ("functional", "defective")
    assert [(i.id, i.label, i.split, i.group) for i in listing.items][2:4] == [
        ("images/2", "functional", None, "p2"), ("images/3", "defective", None, "p2"),
    ]  # fmt: skip
    np.testing.assert_array_equal(listing.items[3].image.read().pixels, pixels[3])
    np.savez(path, images=pixels, labels=labels, groups=patients[:4])
    with pytest.raises(DataError, match=r"groups must be one text or integer for each of 6 images, and is .* \(4,\)"):
        listed(path)


def test_npz_groups_of_each_split(npz):
    items = listed(npz(train_groups=np.arange(6)[:, None] // 2, test_groups=np.arange(4))).items
    assert [i.group for i in items] == ["0", "0", "1", "1", "2", "2", None, None, "0", "1", "2", "3"]


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 broken"])
def test_npz_that_is_none(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as an .npz file"):
        listed(tmp_path / "a.npz")


def test_npz_truncated(npz):
    path = npz()
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"cannot be read as an .npz file"):
        listed(path)


def test_everything_that_lists_kinds_reads_their_entries() -> None:
    from synaug_core.s3_address import s3_address

    described = str(DataConfig.model_fields["source"].description)
    for kind in sources.KINDS:
        assert (resources.files("synaug_core.data.sources") / f"{kind.name}.py").is_file()
        assert kind.suffix in described
        assert s3_address(f"s3://pets/all{kind.suffix}").is_file is bool(kind.suffix)
        assert (kind.version is not None) is sources.is_built_in(kind.name) is (f"`{kind.name}`" in described)
