"""Properties of the files that tell the classes, and those that do not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from synaug_core.config import DataConfig, DuplicateConfig
from synaug_core.data.prepare import prepare
from synaug_core.data.shortcuts import find_shortcuts

LABELS = ["cat"] * 40 + ["dog"] * 40 + ["eel"] * 20


def test_a_property_that_tells_one_class_of_many_is_found(rng):
    values = rng.normal(size=100) + 10 * np.array([label == "eel" for label in LABELS])
    (found,) = find_shortcuts({"The mean brightness": values.tolist(), "The bit depth": [8.0] * 100}, LABELS)
    assert (found.property, found.class_name, found.recognised, found.mistaken) == ("The mean brightness", "eel", 1, 0)
    assert found.sentence().startswith(
        "The mean brightness alone tells 'eel': it recognises 100% of its images, and takes 0% of the others for it."
    )


def test_values_in_any_order_tell_a_class():
    """Not the larger or the smaller, but those between."""
    values = [2.0 if label == "dog" else float(n % 2 * 4) for n, label in enumerate(LABELS)]
    (found,) = find_shortcuts({"The size of the files": values}, LABELS)
    assert found.class_name == "dog"


@pytest.mark.parametrize("seed", range(20))
def test_noise_tells_nothing(seed):
    values = np.random.default_rng(seed).normal(size=(6, 100))
    assert find_shortcuts({str(n): row.tolist() for n, row in enumerate(values)}, LABELS, (), seed) == ()


def test_more_is_asked_of_what_depends_on_the_content():
    values = [1.0 if label == "eel" or n % 5 == 0 else 0.0 for n, label in enumerate(LABELS)]
    (found,) = find_shortcuts({"The mean brightness": values}, LABELS)
    assert (found.recognised, found.mistaken) == (1, 0.2)
    assert find_shortcuts({"The mean brightness": values}, LABELS, ("The mean brightness",)) == ()


def test_few_images_say_nothing():
    assert find_shortcuts({"The bit depth": [8.0] * 20 + [16.0] * 9}, ["cat"] * 20 + ["dog"] * 9) == ()
    assert find_shortcuts({"The bit depth": [8.0, 16.0]}, ["cat", "cat"]) == ()


def _tall(image: Image.Image) -> Image.Image:
    return image.resize((24, 48))


def _framed(image: Image.Image) -> Image.Image:
    framed = Image.new("RGB", image.size)
    framed.paste(image.crop((2, 2, 22, 22)), (2, 2))
    return framed


@pytest.mark.parametrize(
    ("change", "ending", "told"),
    [
        (lambda image: image, ".png", set()),
        (_tall, ".png", {"The ratio of width to height", "The size of the files"}),
        (lambda image: image.resize((6, 6)), ".png", {"The length of the shorter side", "The size of the files"}),
        (lambda image: image.convert("L"), ".png", {"Whether there is colour", "The size of the files"}),
        (lambda image: image, ".bmp", {"The format of the files", "The size of the files"}),
        (_framed, ".png", {"The brightness of the border"}),
        (lambda image: image.point(lambda value: value // 6), ".png", {"The mean brightness"}),
    ],
)
def test_how_images_were_made_is_noted_where_it_tells_the_class(change, ending, told, make_folder):
    root = make_folder({"cat": 24, "dog": 24})
    for path in sorted((root / "dog").iterdir()):
        with Image.open(path) as image:
            changed = change(image.copy())
        path.unlink()
        changed.save(path.with_suffix(ending))
    config = DataConfig(source=str(root), duplicates=DuplicateConfig(distance=-1), image_size=24)
    report = prepare(config, seed=0).report
    assert told <= {shortcut.property for shortcut in report.shortcuts}
    assert bool(told) == bool(report.shortcuts)
    assert {shortcut.sentence() for shortcut in report.shortcuts} <= set(report.notes)


def test_unusual_images_are_counted_by_class(make_folder, encode):
    root = make_folder({"cat": 20, "dog": 20})
    make_folder({"dog": 1}, first=100, height=3, width=3)
    deep = np.linspace(0, 65535, 24 * 60).astype(np.uint16).reshape(24, 60)
    (root / "cat" / "deep.png").write_bytes(encode(deep))
    report = prepare(DataConfig(source=str(root)), seed=0).report
    assert report.facts.by_class == {
        "elongated": {"cat": 1},
        "enlarged": {"dog": 1},
        "grey among colour": {"cat": 1},
        "of another bit depth": {"cat": 1},
        "tiny": {"dog": 1},
    }
    assert "1 image with a side of less than 8 px: enlarged, such show next to nothing." in report.notes
