import numpy as np
import pytest
import torch

from synaug_core.config import GeneratorConfig
from synaug_core.generators.base import Generator
from synaug_core.report.sheets import interpolation, preview, real_beside_synthetic, reconstruction
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
