import dataclasses

import pytest
import torch

from synaug_core.data.imageset import find_repeated_ids
from synaug_core.testing.conformance import make_images


@pytest.mark.parametrize("channels", [1, 3])
def test_equal_pixels_are_found_under_any_name(channels):
    images = make_images({"a": 6, "b": 4}, channels, 8)
    earlier = images.take([1, 7])
    renamed = dataclasses.replace(
        earlier, ids=("x", "y"), groups=("g", "g"), labels=torch.tensor([1, 0]), provenance=("{}", "{}")
    )
    assert find_repeated_ids(images, renamed) == {images.ids[1], images.ids[7]}
    assert find_repeated_ids(images, images.take([])) == frozenset()
    assert find_repeated_ids(images.take([]), images) == frozenset()


def test_one_level_of_one_pixel_is_another_image():
    images = make_images({"a": 2}, 1, 8)
    changed = images.images.clone()
    changed[0, 0, 0, 0] ^= 1
    assert find_repeated_ids(images, dataclasses.replace(images, images=changed)) == {images.ids[1]}


def test_another_shape_is_another_image():
    flat = make_images({"a": 1}, 1, 8)
    black = dataclasses.replace(flat, images=torch.zeros(1, 1, 8, 8, dtype=torch.uint8))
    wide = dataclasses.replace(flat, images=torch.zeros(1, 1, 4, 16, dtype=torch.uint8))
    assert find_repeated_ids(black, wide) == frozenset()
