"""Generators learn what discs of three sizes look like: on a CPU at 16 px, on a GPU at the sizes it is wanted for."""

import pytest
import torch

from synaug_core.config import GeneratorConfig
from synaug_core.generators import registry
from synaug_core.generators.base import FitJob
from synaug_core.testing.conformance import make_images

_CASES = [
    pytest.param("diffusion", 16, 300, "cpu", marks=pytest.mark.slow),
    pytest.param("gan", 16, 300, "cpu", marks=pytest.mark.slow),
    *(
        pytest.param(kind, size, 2000, "cuda", marks=pytest.mark.gpu)
        for kind in ("diffusion", "gan")
        for size in (64, 128)
    ),
]


def bright(images):
    """Mean share of an image that is bright."""
    return float((images > 127).float().mean())


@pytest.mark.parametrize(("kind", "size", "steps", "device"), _CASES)
def test_each_class_gets_its_own_disc(kind, size, steps, device):
    images = make_images({"small": 60, "middle": 60, "large": 60}, 1, size)
    config = GeneratorConfig(kind=kind, steps=steps, evaluate_every=steps // 4)
    fitted = registry.create(config, images.classes, 1, size).fit(images, FitJob(seed=1, device=torch.device(device)))
    assert {report.status for report in fitted.reports.values()} == {"finished"}
    real = [bright(images.of_class(name).images) for name in images.classes]
    made = [bright(fitted.sample(60, name, seed=2)) for name in images.classes]
    assert made == sorted(made)
    assert made == pytest.approx(real, rel=0.4)
