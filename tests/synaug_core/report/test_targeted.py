import json

import numpy as np
import pytest
import torch

from synaug_core.config import GeneratorConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators.base import Generator
from synaug_core.report.targeted import targeted_rows, targeted_sheet


@pytest.fixture
def halves(latent_double):
    """The latent of an image is its pixels; decoded, they are half as bright."""

    def encode(images):
        flat = images.flatten(1).float() / 255
        return flat, flat

    def make(classes, channels, size):
        return latent_double(encode, lambda z: z.view(-1, channels, size, size) / 2, classes, channels, size)

    return make


def made_from(real, rows, **origin):
    texts = tuple(json.dumps({"strategy": "targeted", "parents": [real.ids[i]], **origin}) for i in rows)
    ids = tuple(f"synthetic/{i}" for i in range(len(rows)))
    return ImageSet(real.images[rows] // 2 + 10, real.labels[rows], real.classes, ids, ids, texts)


FIGURES = {"uncertainty_before": 0.01, "uncertainty_after": 0.3, "step_length": 0.5}


@pytest.mark.parametrize(("classes", "channels", "size"), [(3, 1, 28), (12, 3, 64)])
def test_the_sheet(images_of, halves, classes, channels, size):
    real = images_of(classes, channels, size)
    generator = halves(real.classes, channels, size)
    rows = list(range(len(real)))
    drawn = targeted_sheet(generator, real, made_from(real, rows, **FIGURES), per_class=4, heading="Targeted")
    assert drawn.mode == "RGB"
    assert 100 < drawn.width < 1500
    assert drawn.height > 4 * 60 * (classes - 1)
    first = np.asarray(drawn).reshape(-1, 3)
    assert len(np.unique(first, axis=0)) > 50


def test_rows_hold_what_they_say(images_of):
    real = images_of(2, 1, 16)
    decoded = real.images // 2
    made = (decoded.int() + torch.tensor([-8, 8]).repeat(8)).clamp(0, 255).to(torch.uint8)
    rows = targeted_rows("a", real.images, decoded, made, kind="random", uncertainty=(0.012, 0.3))
    assert [r.name for r in rows] == ["a", "", "", ""]
    assert rows[0].note == "original"
    assert rows[1].note == "reconstruction, uncertainty 0.012"
    assert rows[2].note == "random step, uncertainty 0.3"
    assert rows[3].note == "difference × 15"
    assert torch.equal(rows[2].images, made)
    change = rows[3].images[decoded > 8]
    assert set(change.tolist()) <= {8, 248}
    same = targeted_rows("a", real.images, decoded, decoded)
    assert rows[1].note.startswith(same[1].note)
    assert set(same[3].images.flatten().tolist()) == {128}


def test_only_images_of_these_strategies_are_shown(images_of, halves):
    real = images_of(3, 3, 16)
    other = made_from(real, [0, 1], alpha=0.5)
    assert targeted_sheet(halves(real.classes, 3, 16), real, other) is None
    elsewhere = halves(("other",), 3, 16)
    assert targeted_sheet(elsewhere, real, made_from(real, [0], **FIGURES)) is None


def test_a_generator_without_a_latent_space_has_no_sheet(images_of):
    class Other(Generator):
        kind = "other"
        fit = sample = save = load = None

    real = images_of(3)
    assert targeted_sheet(Other(GeneratorConfig(), real.classes, 3, 16), real, made_from(real, [0], **FIGURES)) is None
