from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from synaug_core.config import DataConfig, DuplicateConfig, SplitConfig
from synaug_core.data.prepare import prepare
from synaug_core.data.report import DatasetReport, Removed
from synaug_core.errors import DataError

NEAR = DuplicateConfig(distance=6, correlation=0.97)


def run(source, seed: int = 0, **options):
    return prepare(DataConfig(**({"source": str(source), "duplicates": NEAR} | options)), seed=seed)


def parts(prepared):
    return {"train": prepared.train, "val": prepared.val, "test": prepared.test}


def side_of(prepared) -> dict[str, str]:
    return {i: side for side, images in parts(prepared).items() for i in images.ids}


def test_a_plain_folder(make_folder):
    told: list[tuple[int, int]] = []
    root = make_folder({"cat": 20, "dog": 12})
    found = prepare(DataConfig(source=str(root)), seed=0, progress=lambda done, total, **_: told.append((done, total)))
    assert found.report.counts == {
        "train": {"cat": 12, "dog": 7}, "val": {"cat": 3, "dog": 2}, "test": {"cat": 5, "dog": 3},
    }  # fmt: skip
    assert found.report.split == "made"
    assert found.report.notes == ()
    assert told[-1] == (32, 32)
    assert found.train.images.shape == (19, 3, 24, 24)
    assert found.train.images.dtype == torch.uint8
    assert len(side_of(found)) == 32
    first = found.train.ids[0]
    assert found.train.groups[0] == first
    assert json.loads(found.train.provenance[0]) == {"source": f"pets/{first}"}
    np.testing.assert_array_equal(found.train.images[0].permute(1, 2, 0), np.asarray(Image.open(root / first)))
    assert found.train.classes[found.train.labels[0]] == first.split("/")[0]


@pytest.mark.parametrize(("width", "fit"), [(24, "crop"), (29, "crop"), (30, "pad"), (80, "pad")])
def test_what_stands_at_the_border_of_a_long_image_is_seen(width, fit, make_folder):
    found = run(make_folder({"cat": 8, "dog": 8}, height=24, width=width))
    assert found.report.preprocessing.fit == fit
    assert found.train.images.shape[1:] == (3, 24, 24)


def test_images_of_more_than_8_bits_have_one_scale(make_folder, encode):
    """Brightness sets the classes apart; by each image's own maximum it is gone."""
    root = make_folder({"bright": 0, "dim": 0})
    for name, top in (("bright", 4095), ("dim", 1000)):
        for n in range(10):
            ramp = np.linspace(0, top + (n == 0 and name == "bright"), 576).reshape(24, 24)
            (root / name / f"{n}.png").write_bytes(encode(np.roll(ramp, 50 * n).astype(np.uint16)))
    found = run(root, duplicates=NEAR.model_copy(update={"distance": -1}))
    assert found.report.preprocessing.scale.integer == 4095
    brightest = {name: int(found.train.of_class(name).images.amax()) for name in found.train.classes}
    assert brightest == {"bright": 255, "dim": 62}


@pytest.mark.parametrize(
    ("group", "cause"),
    [
        ("all", r"no validation images; 16 of 16 images are in one group \(all\) of 1, and a group stays on one side"),
        ("{label}", r"no validation images; 8 of 16 images are in one group \(cat\) of 2"),
    ],
)
def test_groups_that_leave_no_images_for_a_side_are_named(group, cause, make_folder):
    root = make_folder({"cat": 8, "dog": 8})
    lines = [f"{label}/{n}.png,{group.format(label=label)}" for label in ("cat", "dog") for n in range(8)]
    (root / "about.csv").write_text("\n".join(["id,group", *lines]))
    with pytest.raises(DataError, match=cause):
        run(root, metadata="about.csv")


def test_what_was_noted_of_the_source_stands_in_the_report_and_beside_an_error(make_folder):
    root = make_folder({"cat": 12, "dog": 12, "logs": 0})
    assert run(root).report.notes[0] == "Folders without images are no classes: logs."
    root = make_folder({"train/Cat": 12, "train/dog": 12, "test/cat": 4, "test/dog": 4}, "cased")
    with pytest.raises(DataError, match=r"'cat' has 4 images, of which none .* Cat, cat differ in letter case alone"):
        run(root)


def test_report_is_json(make_folder):
    report = run(make_folder({"cat": 8, "dog": 8})).report
    assert DatasetReport.model_validate_json(report.model_dump_json()) == report


def test_same_images_same_digest_wherever_they_lie(make_folder, tmp_path):
    root = make_folder({"cat": 10, "dog": 10})
    before = run(root)
    shutil.copytree(root, tmp_path / "copy" / "pets")
    assert run(tmp_path / "copy" / "pets").digest == before.digest
    assert run(root, seed=1).digest != before.digest
    assert run(root, image_size=16).digest != before.digest


def test_adding_a_class_moves_nobody(make_folder):
    root = make_folder({"cat": 10, "dog": 10})
    before = side_of(run(root))
    make_folder({"eel": 10}, first=100)
    assert before.items() <= side_of(run(root)).items()


@pytest.mark.parametrize(("side", "expected"), [(8, 16), (24, 24), (37, 36), (100, 64)])
def test_default_size(side, expected, make_folder):
    found = run(make_folder({"cat": 6, "dog": 6}, height=side, width=side + 5), min_per_class=1)
    assert found.report.image_size == found.train.size == expected


def test_default_channels(make_folder, picture):
    root = make_folder({"cat": 8, "dog": 8})
    for path in root.rglob("*.png"):
        Image.open(path).convert("L").convert("RGB").save(path)
    assert run(root).report.channels == 1
    assert run(root, channels=3).train.channels == 3
    Image.fromarray(picture(99)).save(root / "cat" / "0.png")
    assert run(root).report.channels == 3
    assert run(root, channels=1).train.channels == 1


def test_classes_are_a_subset_in_the_order_given(make_folder):
    root = make_folder({"cat": 8, "dog": 8, "eel": 8})
    (root / "dog" / "bad.png").write_bytes(b"x")
    found = run(root, classes=("eel", "cat"))
    assert found.train.classes == ("eel", "cat")
    assert found.report.rejected == ()
    with pytest.raises(DataError, match="no class 'cow'; there are cat, dog, eel"):
        run(root, classes=("cow", "cat"))


def test_rejected_files_up_to_the_limit(make_folder):
    root = make_folder({"cat": 20, "dog": 18})
    (root / "cat" / "a.png").write_bytes(b"")
    (root / "stray.jpg").write_bytes(b"x")
    report = run(root).report
    assert {r.path: r.reason for r in report.rejected} == {
        "cat/a.png": "empty file", "stray.jpg": "lies outside the class folders",
    }  # fmt: skip
    assert any(n.startswith("2 files could not be used") for n in report.notes)
    (root / "cat" / "b.png").write_bytes(b"hello")
    with pytest.raises(DataError) as error:
        run(root)
    assert str(error.value) == (
        "3 of 41 files (7.3%) cannot be used, over the limit of 5.0% (data.max_rejected): "
        "stray.jpg: lies outside the class folders; cat/a.png: empty file; "
        "cat/b.png: not a JPEG, PNG, BMP, TIFF or WebP image"
    )
    assert len(run(root, max_rejected=0.1).report.rejected) == 3


def test_limits_come_from_the_configuration(make_folder):
    root = make_folder({"cat": 6, "dog": 6})
    with pytest.raises(DataError, match=r"not one of 12 files can be used: .*over the limit of 1e-05 MB"):
        run(root, max_megabytes=0.00001)
    with pytest.raises(DataError, match=r"not one of 12 files can be used: .*megapixels, over the limit of 0.0001"):
        run(root, max_megapixels=0.0001)


def test_groups_stay_together(make_folder):
    root = make_folder({"cat": 24, "dog": 24})
    rows = [f"{c}/{i}.png,p{i // 3}{c if i < 12 else ''}" for c in ("cat", "dog") for i in range(24)]
    (root / "m.csv").write_text("id,group\n" + "\n".join(rows))
    found = run(root, metadata="m.csv")
    sides: dict[str, set[str]] = {}
    for side, images in parts(found).items():
        for group in images.groups:
            sides.setdefault(group, set()).add(side)
    assert len(sides) == 12
    assert all(len(s) == 1 for s in sides.values())
    assert set.union(*sides.values()) == {"train", "val", "test"}


def test_duplicates_stay_together_and_are_told(make_folder):
    root = make_folder({"cat": 20, "dog": 20}, height=40, width=40)
    for i in range(5):
        shutil.copy(root / "cat" / f"{i}.png", root / "cat" / f"copy{i}.png")
        Image.open(root / "dog" / f"{i}.png").save(root / "dog" / f"again{i}.jpg", quality=60)
    for seed in range(5):
        found = run(root, seed=seed)
        side = side_of(found)
        assert len(side) == 50
        assert all(side[f"cat/{i}.png"] == side[f"cat/copy{i}.png"] for i in range(5))
        assert all(side[f"dog/{i}.png"] == side[f"dog/again{i}.jpg"] for i in range(5))
    told = found.report.duplicates
    assert [d.kind for d in told] == ["exact"] * 5 + ["near"] * 5
    assert told[0].ids == ("cat/0.png", "cat/copy0.png")
    assert told[0].splits == (side["cat/0.png"],) * 2
    assert not [d for d in run(root, duplicates=DuplicateConfig(distance=-1)).report.duplicates if d.kind == "near"]


SUPPLIED = {f"{side}/{c}": n for side, n in (("train", 10), ("val", 6), ("test", 6)) for c in ("cat", "dog")}


def test_supplied_split_is_used_as_it_is(make_folder):
    found = run(make_folder(SUPPLIED))
    assert found.report.split == "supplied"
    assert all(i.startswith(f"{side}/") for side, images in parts(found).items() for i in images.ids)


@pytest.mark.parametrize(
    ("sides", "origin", "counts"),
    [
        (("train", "test"), "completed", {"train": 16, "val": 4, "test": 12}),
        (("train", "val"), "completed", {"train": 14, "val": 12, "test": 6}),
        (("train",), "made", {"train": 10, "val": 4, "test": 6}),
    ],
)
def test_what_is_missing_is_carved_from_training(sides, origin, counts, make_folder):
    found = run(make_folder({k: n for k, n in SUPPLIED.items() if k.split("/")[0] in sides}))
    assert found.report.split == origin
    assert {side: len(images) for side, images in parts(found).items()} == counts


def test_duplicates_across_a_supplied_split(make_folder):
    root = make_folder(SUPPLIED, height=40, width=40)
    shutil.copy(root / "test/cat/0.png", root / "train/cat/0.png")
    Image.open(root / "test/dog/1.png").save(root / "train/dog/1.png".replace("png", "jpg"), quality=70)
    Image.open(root / "val/dog/1.png").save(root / "train/dog/2.png".replace("png", "jpg"), quality=70)
    shutil.copy(root / "test/cat/2.png", root / "val/cat/2.png")
    found = run(root)
    assert {r.id: r.reason for r in found.report.removed} == {
        "train/cat/0.png": "equal to a test image",
        "train/dog/1.jpg": "nearly equal to a test image",
        "train/dog/2.jpg": "nearly equal to a validation image",
        "val/cat/2.png": "equal to a test image",
    }
    assert {d.splits for d in found.report.duplicates} == {("test", "train"), ("train", "val"), ("test", "val")}
    assert not {r.id for r in found.report.removed} & set(side_of(found))
    assert len(found.test) == 12
    assert "1 image left out: nearly equal to a test image." in found.report.notes
    kept = run(root, duplicates=DuplicateConfig(distance=6, correlation=0.97, across_splits="keep"))
    assert kept.report.removed == ()
    assert len(kept.report.duplicates) == 4


def test_groups_across_a_supplied_split(make_folder):
    root = make_folder(SUPPLIED)
    (root / "m.csv").write_text("id,group\ntrain/cat/0.png,p1\ntest/dog/0.png,p1\ntrain/cat/1.png,p2\n")
    [left_out] = run(root, metadata="m.csv").report.removed
    assert left_out == Removed(id="train/cat/0.png", reason="of a group that has test images", group="p1")


def test_images_of_many_groups_that_are_left_out_are_counted_and_not_listed(make_folder):
    root = make_folder({"train/cat": 40, "train/dog": 20, "val/cat": 5, "val/dog": 5, "test/cat": 20, "test/dog": 5})
    rows = [f"{side}/cat/{i}.png,p{i}" for side in ("train", "test") for i in range(20)]
    (root / "m.csv").write_text("id,group\n" + "\n".join(rows))
    notes = run(root, metadata="m.csv").report.notes
    assert [n for n in notes if "left out" in n] == ["20 images left out: of a group that has test images."]


def straddling(make_folder, *sides):
    """Each of ten groups has one image on each of the sides, in both classes."""
    root = make_folder({f"{side}/{c}": 10 for side in ("train", "val", "test") for c in ("cat", "dog")})
    rows = [f"{side}/{c}/{i}.png,p{i}" for side in sides for c in ("cat", "dog") for i in range(10)]
    (root / "m.csv").write_text("id,group\n" + "\n".join(rows))
    return root


@pytest.mark.parametrize("policy", ["refuse", "drop", "keep"])
def test_groups_that_empty_the_training_part_are_named(make_folder, policy):
    root = straddling(make_folder, "train", "test")
    with pytest.raises(DataError) as caught:
        run(root, metadata="m.csv", small_classes=policy)
    why = "20 training images were left out because they are of a group that has test images (such as p0; keep a "
    assert why in str(caught.value)
    if policy == "refuse":
        assert str(caught.value).startswith("'cat' has 30 images, of which none is for training; 'dog' has 30 images, ")


def test_groups_that_empty_the_validation_part_are_named(make_folder):
    with pytest.raises(
        DataError, match="no validation images; 20 validation images were left out because they are of a group"
    ):
        run(straddling(make_folder, "val", "test"), metadata="m.csv")


def test_what_else_makes_a_class_small_is_told(make_folder):
    root = make_folder(SUPPLIED | {"train/dog": 5})
    shutil.copy(root / "test/dog/0.png", root / "train/dog/0.png")
    with pytest.raises(DataError, match="1 training image was left out because it is equal to a test image: add"):
        run(root)
    with pytest.raises(DataError, match="16 training images were left out to make the long tail or the low-data set"):
        run(make_folder(SUPPLIED), per_class=2)


def test_equal_images_with_different_labels(make_folder):
    root = make_folder({"cat": 12, "dog": 12})
    shutil.copy(root / "cat" / "0.png", root / "dog" / "0.png")
    found = run(root)
    assert [c.ids for c in found.report.conflicts] == [("cat/0.png", "dog/0.png")]
    assert {r.id for r in found.report.removed} == {"cat/0.png", "dog/0.png"}
    assert not {"cat/0.png", "dog/0.png"} & set(side_of(found))
    assert found.report.duplicates[0].splits == (None, None)
    kept = run(root, duplicates=DuplicateConfig(conflicting_labels="keep"))
    assert side_of(kept)["cat/0.png"] == side_of(kept)["dog/0.png"]
    assert kept.report.conflicts == found.report.conflicts


def test_conflicts_in_a_supplied_split_leave_training_only(make_folder):
    root = make_folder(SUPPLIED)
    shutil.copy(root / "test/cat/0.png", root / "train/dog/0.png")
    found = run(root)
    assert [(r.id, r.reason) for r in found.report.removed] == [
        ("train/dog/0.png", "equal to an image with another label")
    ]
    assert "test/cat/0.png" in found.test.ids


def test_metadata_splits(make_folder):
    root = make_folder({"cat": 9, "dog": 9})
    side = ["train"] * 5 + ["val"] * 2 + ["test"] * 2
    rows = [f"{c}/{i}.png,{side[i]}" for c in ("cat", "dog") for i in range(9)]
    (root / "m.csv").write_text("id,split\n" + "\n".join(rows))
    found = run(root, metadata="m.csv")
    assert found.report.split == "supplied"
    assert found.report.counts["val"] == {"cat": 2, "dog": 2}


def test_small_classes(make_folder):
    root = make_folder({"cat": 20, "dog": 20, "eel": 2})
    with pytest.raises(
        DataError, match=r"^'eel' has 2 images, of which 1 is for training; at least 5 training images are needed: "
    ):
        run(root)
    dropped = run(root, small_classes="drop")
    assert dropped.train.classes == dropped.report.classes == ("cat", "dog")
    assert [(d.name, d.images) for d in dropped.report.dropped] == [("eel", 1)]
    assert not any(i.startswith("eel") for i in side_of(dropped))
    kept = run(root, small_classes="keep")
    assert kept.train.counts()["eel"] == kept.test.counts()["eel"] == 1
    assert "No validation images of eel: figures of it are undefined there." in kept.report.notes
    middle = run(root, classes=("cat", "eel", "dog"), small_classes="drop")
    assert [middle.train.classes[n] for n in middle.train.labels.unique()] == ["cat", "dog"]


def test_long_tail_thins_training_only(make_folder):
    root = make_folder({"cat": 40, "dog": 40})
    plain, tailed = run(root), run(root, long_tail=4, min_per_class=5)
    assert tailed.train.counts() == {"cat": 24, "dog": 6}
    assert tailed.report.thinned == 18
    assert set(tailed.train.ids) < set(plain.train.ids)
    assert tailed.test.ids == plain.test.ids
    assert tailed.val.ids == plain.val.ids


def test_no_test_or_validation_images(make_folder):
    root = make_folder({"cat": 1, "dog": 1})
    with pytest.raises(DataError, match="there are no validation images"):
        run(root, min_per_class=1)
    with pytest.raises(ValueError, match="must leave a part for training"):
        SplitConfig(validation=0.5, test=0.5)


def test_all_files_unusable(make_folder):
    root = make_folder({"cat": 1, "dog": 1})
    for path in root.rglob("*.png"):
        path.write_bytes(b"no")
    with pytest.raises(DataError, match=r"not one of 2 files can be used: cat/0.png: not a JPEG"):
        run(root, max_rejected=1)
    for path in root.rglob("*.png"):
        path.unlink()
    make_folder({"eel": 1})
    with pytest.raises(DataError, match="has no images of cat, dog"):
        run(root, classes=("cat", "dog"))


def test_notes_about_pixels(make_folder, encode):
    root = make_folder({"cat": 8, "dog": 8}, height=20, width=60)
    deep = np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)
    (root / "cat" / "deep.png").write_bytes(encode(deep))
    notes = run(root, image_size=32).report.notes
    long = "16 of 17 images are at least 1.25 times as long as wide, 16 more than twice: "
    assert f"{long}their edges are repeated, so that the whole image is seen (data.fit)." in notes
    for fit, words in (("crop", "only the central square is used"), ("stretch", "they are stretched")):
        (note,) = [line for line in run(root, image_size=32, fit=fit).report.notes if line.startswith(long)]
        assert words in note
    (note,) = [line for line in notes if "different depths" in line]
    assert "(1 of 16 bits, 16 of 8 bits); beyond 8 bits 65535 is white in all of them." in note
    assert "17 of 17 images are smaller than 32 px and were enlarged." in notes


def test_a_large_cluster_is_told(make_folder, picture):
    root = make_folder({"cat": 20, "dog": 20}, height=40, width=40)
    for i in range(12):
        noise = np.random.default_rng(i).integers(0, 3, (40, 40, 3))
        Image.fromarray(np.clip(picture(1, 40, 40) + noise, 0, 255).astype(np.uint8)).save(root / "cat" / f"n{i}.png")
    assert any("holds 13 of 52" in n and "correlation" in n for n in run(root).report.notes)
