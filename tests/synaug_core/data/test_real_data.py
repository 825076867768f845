"""The real sets, with what is known about them."""

from __future__ import annotations

import numpy as np
import pytest

from synaug_core.config import DataConfig, DuplicateConfig
from synaug_core.data.prepare import prepare, prepare_divisions
from synaug_core.data.reading import open_source
from synaug_core.errors import DataError

NEAR = DuplicateConfig(distance=6, correlation=0.97)


def test_digits():
    found = prepare(DataConfig(), seed=0)
    assert (found.report.image_size, found.report.channels) == (16, 1)
    assert sum(len(s) for s in (found.train, found.val, found.test)) == 1797


def test_wbc(real_data):
    source = str(real_data / "wbc")
    with pytest.raises(DataError, match="'BASOPHIL' has 2 images, of which 1 is for training; at least 5 "):
        prepare(DataConfig(source=source), seed=0)
    found = prepare(DataConfig(source=source, classes=("NEUTROPHIL", "EOSINOPHIL", "LYMPHOCYTE")), seed=0)
    assert found.train.counts() == {"NEUTROPHIL": 121, "EOSINOPHIL": 50, "LYMPHOCYTE": 20}
    assert found.test.counts() == {"NEUTROPHIL": 51, "EOSINOPHIL": 21, "LYMPHOCYTE": 8}
    assert found.report.rejected == ()
    assert (found.report.image_size, found.report.channels) == (64, 3)


def test_breastmnist(real_data):
    path = real_data / "breastmnist.npz"
    found = prepare(DataConfig(source=str(path), duplicates=NEAR), seed=0)
    exact = [d for d in found.report.duplicates if d.kind == "exact"]
    assert [set(d.splits) for d in exact] == [{"train", "test"}]
    assert next(i for i in exact[0].ids if i.startswith("train")) in {r.id for r in found.report.removed}
    with np.load(path) as arrays:
        np.testing.assert_array_equal(found.test.images[:, 0], arrays["test_images"])
        np.testing.assert_array_equal(found.test.labels, arrays["test_labels"][:, 0])


def test_retinamnist(real_data):
    found = prepare(DataConfig(source=str(real_data / "retinamnist.npz"), duplicates=NEAR), seed=0)
    assert found.train.counts() == {"0": 486, "1": 128, "2": 206, "3": 194, "4": 66}
    assert len(found.test) == 400
    assert all(len(d.ids) == 2 and len(set(d.classes)) == 1 for d in found.report.duplicates)


def test_caltech37(real_data):
    found = prepare(DataConfig(source=str(real_data / "caltech37"), image_size=32, duplicates=NEAR), seed=0)
    assert len(found.train.classes) == 37
    assert len(found.test) == 505
    assert 0 < len(found.report.removed) < 30
    assert min(found.val.counts().values()) >= 1
    assert found.report.split == "completed"


def test_draws_of_solar_cells(real_data):
    """On the fixed half of the images, whatever a draw takes from the others."""
    config = DataConfig.model_validate(
        {
            "source": str(real_data / "large" / "elpv_solar_cells.npz"),
            "image_size": 32,
            "per_class": {"maybe_defective": 20, "default": 100},
            "split": {"draws": True},
        }
    )
    first, second = prepare_divisions(config, repetitions=2, seed=0, hold_back=True)
    for draw in (first, second):
        assert list(draw.train.counts().values()) == [100, 100, 20, 100]
        assert list(draw.val.counts().values()) == [18, 18, 4, 18]
        assert not set(draw.test.groups) & {*draw.train.groups, *draw.val.groups, *draw.held_back.groups}
    assert first.test.ids == second.test.ids
    assert len(first.test) > 1300
    assert len(set(first.train.ids) & set(second.train.ids)) < 160


@pytest.mark.parametrize(
    ("file", "images", "classes", "groups"),
    [("malaria_cells.npz", 8000, 2, 200), ("pbc_8classes.parquet", 7520, 8, 0)],
)
def test_larger_sets_are_read_as_they_are(real_data, file, images, classes, groups):
    listing = open_source(DataConfig(source=str(real_data / "large" / file)))
    assert (len(listing.items), len(listing.classes)) == (images, classes)
    assert len({item.group for item in listing.items} - {None}) == groups
    assert {min(listing.items[n].image.size()) for n in (0, images // 2, -1)} == {64}
