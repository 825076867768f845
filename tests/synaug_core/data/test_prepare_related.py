"""Related images in what `prepare` divides: kept on one side where it divides, counted where the split is supplied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synaug_core.config import DataConfig
from synaug_core.data import prepare as module
from synaug_core.data.prepare import Prepared, prepare, prepare_divisions
from synaug_core.errors import DataError
from synaug_core.quality.features import features_for_splits

Draw = Callable[[np.random.Generator], np.ndarray]


def plate(rng: np.random.Generator, size: int = 48) -> np.ndarray:
    """A plate before one camera, with marks of its own."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    image = np.where((abs(x) < 0.8) & (abs(y) < 0.8), 0.6, 0.2)
    for _ in range(6):
        across, down = rng.uniform(-0.7, 0.7, 2)
        image += rng.uniform(-0.3, 0.3) * np.exp(-((x - across) ** 2 + (y - down) ** 2) / rng.uniform(0.08, 0.2) ** 2)
    return image.clip(0, 1)


def lit(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    x = np.linspace(-1, 1, image.shape[1])
    light = image * (1 + rng.uniform(-0.3, 0.3) * x) * rng.uniform(0.5, 1.2)
    return (np.clip(light + rng.normal(scale=0.01, size=image.shape), 0, 1) * 255).astype(np.uint8)


def patch(picture: np.ndarray, rng: np.random.Generator, side: int = 78) -> np.ndarray:
    top, left = rng.integers(0, len(picture) - side, 2)
    return picture[top : top + side, left : left + side]


def scene(rng: np.random.Generator, size: int = 96) -> np.ndarray:
    """A picture with things of many colours in it."""
    ground = rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)
    image = np.array(Image.fromarray(ground).resize((size, size), Image.Resampling.BICUBIC))
    y, x = np.mgrid[:size, :size]
    for _ in range(12):
        across, down, radius = rng.integers([0, 0, 5], [size, size, 16])
        is_inside = (x - across) ** 2 + (y - down) ** 2 < radius**2 if rng.random() < 0.5 else None
        is_inside = is_inside if is_inside is not None else (abs(x - across) < radius) & (abs(y - down) < radius / 2)
        image[is_inside] = rng.integers(0, 256, 3)
    return image


def fill(root: Path, things: dict[str, list[list[np.ndarray]]], form: str = "t{thing}_{view}.png") -> Path:
    """`{"cat": [[views of a thing], ...]}` as a folder."""
    for name, views in things.items():
        (root / name).mkdir(parents=True)
        for thing, images in enumerate(views):
            for view, image in enumerate(images):
                Image.fromarray(image).save(root / name / form.format(thing=thing, view=view))
    return root


def exposures(rng: np.random.Generator, things: int, views: int) -> list[list[np.ndarray]]:
    return [[lit(image, rng) for _ in range(views)] for image in [plate(rng) for _ in range(things)]]


def cut_things(prepared: Prepared) -> int:
    """Things that stand on more than one side."""
    sides: dict[str, set[str]] = {}
    for side, part in (("train", prepared.train), ("val", prepared.val), ("test", prepared.test)):
        for name in part.ids:
            sides.setdefault(name.rpartition("_")[0], set()).add(side)
    return sum(len(s) > 1 for s in sides.values())


def run(root: Path, features: bool = True, **options: Any) -> Prepared:
    config = DataConfig.model_validate({"source": str(root), "image_size": 48} | options)
    return prepare(config, seed=0, describe=features_for_splits if features else None)


APART = {"related": "apart"}


def test_six_exposures_of_a_part_stay_together(tmp_path: Path, rng: np.random.Generator) -> None:
    root = fill(tmp_path / "parts", {name: exposures(rng, 9, 6) for name in ("good", "bad")})
    before, after = run(root, duplicates=APART), run(root)
    assert cut_things(before) > 15
    assert cut_things(after) <= 6
    assert cut_things(after) < cut_things(run(root, features=False)) < cut_things(before)
    groups = [d for d in after.report.duplicates if d.kind == "related"]
    assert groups
    assert all(len({name.rpartition("_")[0] for name in d.ids}) == 1 for d in groups)
    assert all(len(set(d.splits)) == 1 for d in groups)
    images = sum(len(d.ids) for d in groups)
    [note] = [n for n in after.report.notes if "views of the same thing as another" in n]
    assert note.startswith(f"{images} images are probably views")
    assert f"in {len(groups)} groups of up to {max(len(d.ids) for d in groups)} images" in note
    assert after.report.removed == before.report.removed, "the looser rule removes nothing"
    assert len(set(after.train.groups) & set(after.test.groups)) == 0


def test_one_camera_is_no_reason_to_group(tmp_path: Path, rng: np.random.Generator) -> None:
    root = fill(tmp_path / "parts", {name: exposures(rng, 60, 1) for name in ("good", "bad")})
    before, after = run(root, duplicates=APART), run(root)
    assert after.report.duplicates == before.report.duplicates
    assert after.digest == before.digest


def test_patches_of_a_picture_stay_together(tmp_path: Path, rng: np.random.Generator) -> None:
    scenes = {name: [[patch(s, rng) for _ in range(5)] for s in [scene(rng) for _ in range(12)]] for name in "ab"}
    root = fill(tmp_path / "patches", scenes)
    before, after = run(root, duplicates=APART), run(root)
    assert cut_things(after) < 0.5 * cut_things(before)
    groups = [d for d in after.report.duplicates if d.kind == "related"]
    assert all(len({name.rpartition("_")[0] for name in d.ids}) == 1 for d in groups)


@pytest.fixture
def supplied(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Two exposures of each part in training, one in testing."""
    for name in ("good", "bad"):
        views = exposures(rng, 16, 3)
        fill(tmp_path / "kit" / "train", {name: [v[:2] for v in views]}, "p{thing}_{view}.png")
        fill(tmp_path / "kit" / "val", {name: exposures(rng, 6, 1)}, "{thing}.png")
        fill(tmp_path / "kit" / "test", {name: [v[2:] for v in views]}, "p{thing}_9.png")
    return tmp_path / "kit"


def test_a_supplied_split_is_left_as_it_is_and_said_to_leak(supplied: Path) -> None:
    before, after = run(supplied, duplicates=APART), run(supplied)
    assert after.digest == before.digest
    assert [(leak.clue, leak.split, leak.total) for leak in after.report.leaks] == [
        ("look", "test", 32),
        ("name", "test", 32),
    ]
    look, name = after.report.leaks
    assert look.images >= 16
    assert name.images == 32
    assert [leak.clue for leak in before.report.leaks] == ["name"]
    text = " ".join(after.report.notes)
    assert f"{look.images} of 32 test images are probably views of the same thing as a training image" in text
    assert "The names of 32 of 32 test images begin as those of training images do" in text
    assert "the split that came with the images was left as it is" in text
    assert f"its first line is id,group and each further one an image and its group, such as {name.example}," in text


def test_the_lines_of_metadata_that_are_named_mend_it(supplied: Path) -> None:
    leak = run(supplied, features=False).report.leaks[-1]
    names = [p.relative_to(supplied).as_posix() for p in supplied.rglob("p*.png")]
    rows = [f"{n},{n.split('/')[1]}-{Path(n).stem.rpartition('_')[0]}" for n in names]
    assert leak.example in names
    (supplied / "groups.csv").write_text("id,group\n" + "\n".join(rows))
    with pytest.raises(DataError, match="they are of a group that has test images"):
        run(supplied, features=False, metadata="groups.csv")


def test_a_guess_makes_no_data_set_useless(tmp_path: Path, rng: np.random.Generator) -> None:
    """A class of two parts is divided all the same, and others keep their groups."""
    few = {"rare": exposures(rng, 2, 8), "common": exposures(rng, 16, 5)}
    after = run(fill(tmp_path / "parts", few))
    assert all(after.report.counts[side]["rare"] for side in ("train", "val", "test"))
    assert any(d.kind == "related" and "common" in d.classes for d in after.report.duplicates)
    assert not any(d.kind == "related" and "rare" in d.classes for d in after.report.duplicates)


def test_named_groups_are_left_to_themselves(tmp_path: Path, rng: np.random.Generator) -> None:
    root = fill(tmp_path / "parts", {name: exposures(rng, 12, 5) for name in ("good", "bad")})
    names = [p.relative_to(root).as_posix() for p in root.rglob("*.png")]
    (root / "g.csv").write_text("id,group\n" + "\n".join(f"{n},{number}" for number, n in enumerate(names)))
    after = run(root, features=False, metadata="g.csv")
    assert not [d for d in after.report.duplicates if d.kind == "related"]
    assert after.report.leaks == ()


def test_every_fold_and_draw_keeps_them_together(tmp_path: Path, rng: np.random.Generator) -> None:
    root = fill(tmp_path / "parts", {name: exposures(rng, 14, 4) for name in ("good", "bad")})
    for split, thin in (({"folds": 3}, {}), ({"draws": True}, {"per_class": 10})):
        config = DataConfig.model_validate({"source": str(root), "image_size": 48, "split": split} | thin)
        for division in prepare_divisions(config, repetitions=2, seed=0, describe=features_for_splits):
            groups = [d for d in division.report.duplicates if d.kind == "related"]
            assert len(groups) > 5
            assert all(len(set(d.splits)) == 1 for d in groups)


def test_too_many_images_are_told_by_pixels_with_a_note(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_DESCRIBED", 50)
    root = fill(tmp_path / "parts", {name: exposures(rng, 10, 3) for name in ("good", "bad")})
    after = run(root)
    assert "More than 50 images: related ones were sought by their pixels alone." in after.report.notes
    assert after.digest == run(root, features=False).digest
    monkeypatch.setattr(module, "_MOST_COMPARED", 55)
    after = run(root, features=False)
    assert "More than 55 images: related ones were not sought." in after.report.notes
    assert after.digest == run(root, duplicates=APART).digest
