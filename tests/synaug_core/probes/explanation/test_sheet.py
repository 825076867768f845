from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from synaug_core.data.imageset import ImageSet
from synaug_core.probes.explanation.report import ArmView, ExplainedImage, Explanation, MapChange
from synaug_core.probes.explanation.sheet import cam_sheet, overlay

WRONG = np.array([0xD5, 0x5E, 0x00])


@pytest.fixture
def drawn(hostile: tuple[str, ...]) -> Callable[..., Image.Image]:
    """`drawn(arms, channels=, size=, ...)`: a sheet of three images; the last arm is wrong on the second."""

    def draw(
        arms: int, channels: int = 1, size: int = 28, *, wrong: bool = True, noise: bool = True, heading: str = ""
    ) -> Image.Image:
        names = ("control", "combined", "targeted-entropy", "x" * 63, *(f"arm-{i}" for i in range(9)))[:arms]
        stream = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (3, channels, size, size), generator=stream, dtype=torch.uint8)
        labels = hostile[:3]
        shown = ImageSet(images, torch.arange(3), labels, ("1", "2", "3"), ("1", "2", "3"), ("{}",) * 3)
        far = MapChange(correlation=0.5, overlap=0.5, n=3)
        seen = []
        for i, label in enumerate(labels):
            views = {a: ArmView(predicted=label, probability=0.5) for a in names}
            if i == 1 and wrong:
                views[names[-1]] = ArmView(predicted=hostile[3], probability=0.1)
            seen.append(ExplainedImage(id=str(i), label=label, why="most changed of its class: " * 4, arms=views))
        explanation = Explanation(
            layer="blocks.10 (7 x 7)",
            reference=names[0],
            images=tuple(seen),
            change=dict.fromkeys(names[1:], far),
            noise=far if noise else None,
        )
        rng = np.random.default_rng(0)
        maps = {a: rng.random((3, size, size)).astype(np.float32) for a in names}
        return cam_sheet(explanation, shown, maps, heading=heading)

    return draw


def frames(sheet: Image.Image) -> int:
    """Pixels of the colour that marks a wrong prediction."""
    return int((np.asarray(sheet) == WRONG).all(axis=2).sum())


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 28), (3, 64), (3, 224)])
@pytest.mark.parametrize("arms", [1, 2, 6, 12])
def test_a_sheet_of_every_kind_has_its_margins(drawn, arms: int, channels: int, size: int) -> None:
    sheet = drawn(arms, channels, size, heading="wbc: evidence for the true class, layer blocks.10 (7 x 7)")
    pixels = np.asarray(sheet)
    assert sheet.mode == "RGB"
    assert sheet.width <= 1700
    assert (pixels[:, -8:] == 255).all()  # nothing runs over the edge
    assert (pixels[-4:] == 255).all()
    assert (pixels[:, :8] == 255).all()


def test_wrong_predictions_are_framed(drawn) -> None:
    side = 4 * 28
    assert frames(drawn(2)) - frames(drawn(2, wrong=False)) > 4 * 2 * side


def test_a_missing_noise_floor_is_left_open(drawn) -> None:
    assert np.asarray(drawn(2, noise=False)).shape == np.asarray(drawn(2)).shape
    assert not np.array_equal(np.asarray(drawn(2, noise=False)), np.asarray(drawn(2)))


def test_equal_input_gives_an_equal_sheet(drawn) -> None:
    assert drawn(3).tobytes() == drawn(3).tobytes()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_overlay_is_brighter_where_the_map_is(channels: int) -> None:
    pixels = np.full((channels, 20, 20), 128, np.uint8)
    values = np.zeros((20, 20), np.float32)
    values[:, 10:] = 1
    laid = np.asarray(overlay(pixels, values, 100).convert("L"), float)
    assert laid.shape == (100, 100)
    assert laid[:, 60:].min() > laid[:, :40].max() + 40
    whole = np.asarray(overlay(pixels, values * 0, 100))
    assert np.ptp(whole.reshape(-1, 3), axis=0).max() == 0
