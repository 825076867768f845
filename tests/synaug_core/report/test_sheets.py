"""Sheets of images."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from synaug_core.config import GeneratorConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.generators.base import Generator
from synaug_core.report import sheets
from synaug_core.report.sheets import (
    interpolation,
    preview,
    real_beside_synthetic,
    reconstruction,
    targeted_rows,
    targeted_sheet,
)
from synaug_core.report.tiles import Row, sheet


def _contains(image, tile, factor):
    """Whether the tile stands in the image, each pixel `factor` wide and high."""
    picture = np.asarray(image)
    wanted = tile.numpy().transpose(1, 2, 0).repeat(factor, 0).repeat(factor, 1)
    wanted = np.broadcast_to(wanted, (*wanted.shape[:2], 3))
    h, w = wanted.shape[:2]
    starts = np.argwhere((picture == wanted[0, 0]).all(2))
    return any(np.array_equal(picture[y : y + h, x : x + w], wanted) for y, x in starts)


@pytest.fixture(scope="session")
def exact(latent_double):
    """`exact(images)`: a generator that decodes every image to itself."""

    def make(images):
        shape = tuple(images.images.shape[1:])

        def encode(pixels):
            return pixels.flatten(1).float() / 255, pixels.flatten(1).float()

        return latent_double(encode, lambda z: z.view(-1, *shape), images.classes, shape[0], shape[1])

    return make


@pytest.mark.parametrize("classes", [2, 5, 20, 37])
@pytest.mark.parametrize("channels", [1, 3])
def test_sheets_are_drawn_for_any_number_of_classes(images_of, exact, classes, channels):
    images = images_of(classes, channels)
    for drawn in (
        preview(images),
        reconstruction(exact(images), images),
        real_beside_synthetic(images, images),
    ):
        assert drawn.mode == "RGB"
        assert 100 < drawn.width < 4000
        assert 60 < drawn.height < 4000


@pytest.mark.parametrize(("channels", "size", "factor"), [(1, 16, 6), (3, 28, 3), (3, 64, 2), (3, 100, 1)])
def test_pixels_stay_pixels(images_of, channels, size, factor):
    images = images_of(3, channels, size)
    drawn = preview(images)
    for i in range(len(images)):
        assert _contains(drawn, images.images[i], factor)


def test_real_stands_beside_synthetic_and_classes_without_any_are_left_out(images_of):
    real = images_of(4, size=32)
    synthetic = real.take(real.labels == 2)
    both = real_beside_synthetic(real, synthetic)
    assert _contains(both, real.of_class(real.classes[2]).images[0], 3)
    assert not _contains(both, real.images[0], 3)


def test_interpolation_has_a_column_for_each_a(images_of):
    walk = images_of(5).images[:4]
    drawn = interpolation([("a", walk), ("b", walk)], [0, 0.33, 0.67, 1])
    for image in walk:
        assert _contains(drawn, image, 4)


def test_a_long_heading_widens_the_sheet(images_of):
    images = images_of(5).images[:4]
    plain, headed = (sheet([Row("a", "", images)], heading=h) for h in ("", "a very long heading " * 5))
    assert headed.width > plain.width
    for image in images:
        assert _contains(headed, image, 4)


def test_nothing_to_show_is_a_sheet_too(images_of, exact):
    empty = images_of(3).take([])
    for drawn in (preview(empty), real_beside_synthetic(empty, empty), reconstruction(exact(empty), empty)):
        assert drawn.width > 10
    assert sheet([Row("", "", empty.images)]).height > 10


def test_reconstruction_of_a_fitted_generator(images_of, latent_double):
    """Every image is decoded to its own mean."""
    images = images_of(4, size=64)

    def encode(images):
        mean = images.float().mean((1, 2, 3), keepdim=False)[:, None] / 255
        return mean, mean

    def decode(z):
        return z[:, :, None, None].expand(-1, 3, 64, 64)

    generator = latent_double(encode, decode, images.classes[1:3], 3, 64)
    drawn = reconstruction(generator, images)
    assert drawn is not None
    one = images.of_class(images.classes[1]).images[0]
    assert _contains(drawn, one, 1)
    flat = torch.full_like(one, round(float(one.float().mean())))
    assert _contains(drawn, flat, 1)
    assert not _contains(drawn, images.images[0], 1)


def test_a_generator_without_latent_space_has_no_reconstructions(images_of):
    class Other(Generator):
        kind = "other"
        fit = sample = save = load = None

    assert reconstruction(Other(GeneratorConfig(), ("a",), 3, 16), images_of(3)) is None


def drawn(monkeypatch: pytest.MonkeyPatch, *, relative: bool) -> tuple[str, list[tuple[str, str, int]]]:
    """The sheet's heading, and its rows' names, notes and numbers of images, as given to what draws them."""
    given = []
    real = sheets.sheet
    monkeypatch.setattr(sheets, "sheet", lambda rows, *, heading: given.append((rows, heading)) or real(rows))
    images = torch.zeros(13, 1, 16, 16, dtype=torch.uint8)
    far = [float(13 - i) for i in range(13)]
    made = sheets.unusual_sheet(images, far, ["a", "b", "a", "c", "d", "e"] + ["a"] * 7, relative=relative)
    assert min(made.size) > 16
    [(rows, heading)] = given
    return heading, [(row.name, row.note, len(row.images)) for row in rows]


def test_rows_say_how_far_their_images_are_and_how_they_were_classed(monkeypatch: pytest.MonkeyPatch) -> None:
    heading, rows = drawn(monkeypatch, relative=True)
    assert heading.endswith("distance to known ones, against what is usual between known ones")
    assert rows == [("13.0 to 4.0 times", "classed a, b, c and 2 more", 10), ("3.0 to 1.0 times", "classed a", 3)]


def test_without_a_usual_distance_nothing_is_called_a_multiple(monkeypatch: pytest.MonkeyPatch) -> None:
    heading, rows = drawn(monkeypatch, relative=False)
    assert heading.endswith("distance to known ones")
    assert [name for name, _, _ in rows] == ["13.0 to 4.0", "3.0 to 1.0"]


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
    rows = targeted_rows("a", real.images, decoded, made, decoded, kind="random", uncertainty=(0.012, 0.3))
    assert [r.name for r in rows] == ["a", "", "", ""]
    assert rows[0].note == "original"
    assert rows[1].note == "reconstruction, uncertainty 0.012"
    assert rows[2].note == "random step, uncertainty 0.3"
    assert rows[3].note == "difference × 15"
    assert torch.equal(rows[2].images, made)
    change = rows[3].images[decoded > 8]
    assert set(change.tolist()) <= {8, 248}
    same = targeted_rows("a", real.images, decoded, decoded, decoded)
    assert rows[1].note.startswith(same[1].note)
    assert set(same[3].images.flatten().tolist()) == {128}
    lifted = (real.images.int() + torch.tensor([-8, 8]).repeat(8)).clamp(0, 255).to(torch.uint8)
    rows = targeted_rows("a", real.images, decoded, lifted, real.images, uncertainty=(0.012, 0.3))
    assert [r.note for r in rows[:2]] == ["original, uncertainty 0.012", "reconstruction"]
    assert set(rows[3].images[(real.images > 8) & (real.images < 247)].tolist()) <= {8, 248}


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
