"""The share of a batch that is augmented, and what `strong` adds."""

from __future__ import annotations

import colorsys

import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from synaug_core.classify import augment as module
from synaug_core.classify.augment import augment
from synaug_core.classify.training import TrainingJob, train
from synaug_core.config import ArmConfig, AugmentationConfig
from synaug_core.seeds import stream

STILL = {
    "probability": 1,
    "mirror": "none",
    **dict.fromkeys(("rotation", "translation", "scale", "brightness", "contrast"), 0),
    **dict.fromkeys(("color", "operation", "blur", "noise", "erasing"), 0),
}
STRONG = ("color", "operation", "blur", "noise", "erasing")


@pytest.fixture
def images() -> torch.Tensor:
    """Smooth enough that a small shear or blur changes little."""
    return F.interpolate(torch.rand(90, 3, 4, 4, generator=stream(0)), size=(12, 12), mode="bilinear")


def _with(**ranges: object) -> AugmentationConfig:
    return AugmentationConfig.model_validate({**STILL, **ranges})


def _same(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a == b).flatten(1).all(1)


@pytest.mark.parametrize(("probability", "changed"), [(0, 0), (0.25, 22), (0.75, 68), (1, 90)])
@pytest.mark.parametrize("kind", ["traditional", "strong"])
def test_only_a_share_of_the_batch_is_changed(images, probability, changed, kind):
    config = AugmentationConfig(probability=probability)
    before = images.clone()
    out = augment(images, config, stream(1), kind)
    assert int((~_same(out, images)).sum()) == changed
    assert torch.equal(images, before)
    if 0 < probability < 1:
        assert not torch.equal(_same(out, images), _same(augment(images, config, stream(2), kind), images))


def test_everything_off_changes_nothing(images):
    assert torch.equal(augment(images, _with(), stream(1), "strong"), images)
    assert torch.equal(augment(images, AugmentationConfig(mirror="none", strength=0), stream(1), "strong"), images)


@pytest.mark.parametrize("key", STRONG)
def test_each_part_can_be_the_only_one_and_traditional_has_none_of_them(images, key):
    assert torch.equal(augment(images, _with(**{key: 0.1}), stream(1)), images)
    out = augment(images, _with(**{key: 0.1}), stream(1), "strong")
    assert not torch.equal(out, images)
    assert out.shape == images.shape
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("key", STRONG)
def test_strength_multiplies_it(images, key):
    change = [
        (augment(images, _with(**{key: value}, strength=strength), stream(1), "strong") - images).abs().mean()
        for value, strength in ((0.05, 2.0), (0.1, 1.0))
    ]
    assert change[0] == pytest.approx(float(change[1]), rel=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_everything_at_its_largest_stays_in_range(channels):
    images = torch.rand(40, channels, 16, 16, generator=stream(0))
    config = AugmentationConfig(strength=2, color=1, operation=1, blur=0.1, noise=0.5, erasing=1, mirror="both")
    out = augment(images, config, stream(1), "strong")
    assert out.isfinite().all()
    assert out.min() >= 0
    assert out.max() <= 1


def test_one_image_and_none():
    config = AugmentationConfig()
    assert augment(torch.rand(1, 1, 16, 16), config, stream(0), "strong").shape == (1, 1, 16, 16)
    assert augment(torch.rand(0, 1, 16, 16), config, stream(0), "strong").shape == (0, 1, 16, 16)


def test_colour_keeps_greys_and_means(images):
    out = augment(images, _with(color=0.05), stream(1), "strong")
    inside = ((out > 0) & (out < 1)).all(1, keepdim=True)
    means = (out.mean(1, keepdim=True), images.mean(1, keepdim=True))
    torch.testing.assert_close(means[0][inside], means[1][inside], atol=1e-5, rtol=0)
    grey = images[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(augment(grey, _with(color=1), stream(1), "strong"), grey, atol=1e-5, rtol=0)
    assert torch.equal(augment(images[:, :1], _with(color=1), stream(1), "strong"), images[:, :1])


def test_a_third_of_a_turn_moves_red_to_green_and_saturation_0_is_grey():
    red = torch.tensor([0.9, 0.2, 0.2]).view(1, 3, 1, 1)
    turned = module._recoloured(red, torch.tensor([2 * torch.pi / 3]), torch.ones(1)).flatten().tolist()
    assert turned == pytest.approx([0.2, 0.9, 0.2], abs=1e-6)
    assert colorsys.rgb_to_hsv(*turned)[0] == pytest.approx(1 / 3, abs=1e-6)
    grey = module._recoloured(red, torch.zeros(1), torch.zeros(1)).flatten().tolist()
    assert grey == pytest.approx([1.3 / 3] * 3)


def test_blur_agrees_with_scipy(images):
    from scipy.ndimage import gaussian_filter

    blurred = module._blurred(images[:5].double(), torch.full((5,), 0.8, dtype=torch.float64), radius=4)
    expected = gaussian_filter(images[:5].double().numpy(), (0, 0, 0.8, 0.8), mode="mirror", radius=4)
    torch.testing.assert_close(blurred, torch.from_numpy(expected))


def test_noise_has_the_drawn_spread():
    grey = torch.full((400, 1, 16, 16), 0.5)
    spread = augment(grey, _with(noise=0.1), stream(1), "strong").std((1, 2, 3))
    assert spread.max() < 0.12
    assert spread.mean() == pytest.approx(0.05, abs=0.005)


def test_erased_is_a_rectangle_of_the_mean():
    image = torch.rand(1, 1, 20, 20, generator=stream(0)).expand(60, 1, 20, 20)
    out = augment(image, _with(erasing=0.5), stream(1), "strong")
    for changed, value in ((o != i, o) for o, i in zip(out[:, 0], image[:, 0], strict=True)):
        if changed.any():
            rows, columns = changed.any(1), changed.any(0)
            assert int(changed.sum()) == int(rows.sum()) * int(columns.sum())
            assert int(rows.sum()) <= 10
            torch.testing.assert_close(value[changed], image[0].mean().expand(int(changed.sum())))
    assert 0.02 < (out != image).float().mean() < 0.1


def test_operations_are_dealt_out_evenly():
    """Nine kinds: one leaves the image, two shear it, six change its values."""
    images = F.interpolate(torch.rand(90, 3, 5, 5, generator=stream(0)), size=(16, 16), mode="bilinear")
    operation = module._Operation(90, _with(operation=1), stream(1))
    x_shear, y_shear = operation.shears()
    assert [int((s != 0).sum()) for s in (x_shear, y_shear)] == [10, 10]
    assert not bool(((x_shear != 0) & (y_shear != 0)).any())
    out = operation.apply(images)
    assert int(_same(out, images).sum()) >= 30


def test_pixel_operations_agree_with_pillow():
    """Pillow's are those of TrivialAugment."""
    image = (torch.rand(1, 1, 64, 64, generator=stream(3)) * 150 + 40).round() / 255
    pillow = Image.fromarray((image[0, 0] * 255).byte().numpy())
    full, sign = torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1)

    def difference(out: torch.Tensor, expected: Image.Image) -> float:
        reference = torch.frombuffer(bytearray(expected.tobytes()), dtype=torch.uint8).view(64, 64) / 255
        return float((out[0, 0] - reference).abs().max())

    assert difference(module._autocontrast(image, full, sign), ImageOps.autocontrast(pillow)) < 0.01
    assert difference(module._equalised(image, full, sign), ImageOps.equalize(pillow)) < 0.03
    half = torch.full((1, 1, 1, 1), 0.5)
    assert difference(module._solarised(image, half, sign), ImageOps.solarize(pillow, 128)) < 0.01
    posterised = module._posterised(image, full, sign)
    assert len(posterised.unique()) <= 4


@pytest.mark.parametrize("operation", module._PIXEL_OPERATIONS)
def test_at_level_0_an_operation_does_nothing(images, operation):
    level, sign = torch.zeros(len(images), 1, 1, 1), torch.ones(len(images), 1, 1, 1)
    torch.testing.assert_close(operation(images, level, sign), images, atol=1 / 255, rtol=0)


def test_both_mirrors_and_any_turn(images):
    """Free orientation: every one of the four quarter turns comes near."""
    image = images[:1, :1].expand(3000, 1, 12, 12)
    out = augment(image, _with(mirror="both", rotation=180), stream(1))
    for turns in range(4):
        for mirrored in (image[0], image[0].flip(-1)):
            expected = torch.rot90(mirrored, turns, (1, 2))
            assert (out - expected).abs().amax((1, 2, 3)).min() < 0.08


def test_an_arm_trains_with_it(make_set, quick):
    arm = ArmConfig(name="strong", sampling="balanced", augmentation="strong")
    config = quick.model_copy(update={"steps": 60, "width": 8, "augmentation": AugmentationConfig(rotation=0)})
    data = {"channels": 3, "counts": (30, 12)}
    made = train(TrainingJob(config, arm, make_set(**data), make_set(**data, seed=1), init_seed=3, batch_seed=4))
    test = make_set(**data, seed=2)
    assert (made.predict(test).argmax(1) == test.labels.numpy()).mean() > 0.85
