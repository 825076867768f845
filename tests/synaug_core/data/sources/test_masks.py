"""Crops around what masks mark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from synaug_core.config import DataConfig
from synaug_core.data import decode, prepare, reading
from synaug_core.data.sources import masks
from synaug_core.data.sources.base import ArrayImage
from synaug_core.errors import DataError

HEIGHT, WIDTH = 20, 60


def image_with_values() -> NDArray[np.uint8]:
    """Every pixel says where it lies: its column, and its row in the third channel."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([columns, 255 - columns, rows], axis=2).astype(np.uint8)


def mask_of(*boxes: tuple[int, int, int, int], value: int = 255) -> NDArray[np.uint8]:
    """Of boxes (top, bottom, left, right)."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = value
    return mask


def seen(*marks: NDArray[np.uint8]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns that are seen, from the first to the one after the last."""
    image = masks.MarkedImage(ArrayImage(image_with_values()), tuple(ArrayImage(mask) for mask in marks))
    pixels = image.read().pixels
    assert image.size() == pixels.shape[:2]
    columns, rows = pixels[0, :, 0], pixels[:, 0, 2]
    return (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)


@pytest.mark.parametrize(
    ("boxes", "rows", "columns"),
    [
        ([(8, 12, 40, 44)], (7, 13), (39, 45)),  # a quarter of 4 on each side
        ([(9, 10, 30, 38)], (3, 15), (28, 40)),  # the square of the longer side
        ([(0, 4, 0, 4)], (0, 6), (0, 6)),  # moved into the image at its corner
        ([(16, 20, 56, 60)], (14, 20), (54, 60)),
        ([(0, 20, 10, 50)], (0, 20), (0, 60)),  # more than there is: all of it
        ([(2, 3, 4, 5), (17, 18, 24, 25)], (0, 20), (0, 32)),  # two places of one mask
        ([], (0, 20), (0, 60)),  # nothing is marked
    ],
)
def test_the_square_around_what_is_marked(boxes, rows, columns) -> None:
    assert seen(mask_of(*boxes)) == (rows, columns)


@pytest.mark.parametrize("value", [1, 2, 255])
def test_masks_of_one_image_are_joined_whatever_their_values(value: int) -> None:
    apart = seen(mask_of((2, 3, 4, 5), value=value), mask_of((17, 18, 24, 25), value=value))
    assert apart == seen(mask_of((2, 3, 4, 5), (17, 18, 24, 25)))


def test_the_marked_pixels_are_seen_wherever_they_lie() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        mask = (random.random((HEIGHT, WIDTH)) > 0.998).astype(np.uint8)
        (top, bottom), (left, right) = seen(mask)
        assert mask[top:bottom, left:right].sum() == mask.sum()


def test_a_mask_of_another_size_refuses_the_image() -> None:
    image = masks.MarkedImage(ArrayImage(image_with_values()), (ArrayImage(np.zeros((4, 4), np.uint8)),))
    for ask in (image.read, image.size):
        with pytest.raises(decode.UnreadableError, match="its mask has another height or width"):
            ask()


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Long tiles with a bright defect near the right edge, and its mask; those without are dark and grainy."""
    random = np.random.default_rng(1)
    for label, count in (("defect", 12), ("good", 12)):
        (tmp_path / label).mkdir()
        for number in range(count):
            pixels = random.integers(0, 60, (HEIGHT, WIDTH), dtype=np.uint8)
            if label == "defect":
                box = (number % 10, number % 10 + 6, 52, 58)
                pixels[box[0] : box[1], box[2] : box[3]] = 250
                Image.fromarray(mask_of(box)).save(tmp_path / label / f"{number}_mask.png")
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    return tmp_path


def test_a_defect_at_the_edge_of_a_long_image_is_seen(tiles: Path) -> None:
    sizes = {"source": str(tiles), "image_size": 16, "duplicates": {"related": "apart"}}
    bright = {}
    for choice in ("ignore", "crop"):
        config = DataConfig(**sizes, fit="crop", masks=choice)
        images = prepare.prepare(config, seed=0).train
        is_defect = images.labels == images.classes.index("defect")
        bright[choice] = images.images[is_defect].float().amax((1, 2, 3))
    assert (bright["ignore"] < 100).all()
    assert (bright["crop"] > 200).all()


def test_a_note_says_that_later_images_are_to_be_cut_alike(tiles: Path) -> None:
    [note] = reading.open_source(DataConfig(source=str(tiles), masks="crop")).notes
    assert note.startswith("12 files are masks beside the image of the same name, and images are cut")


def test_labelled_images_have_masks_too(tiles: Path) -> None:
    rows = [f"{path.relative_to(tiles)},{path.parent.name}" for path in tiles.rglob("*.png") if "mask" not in path.name]
    (tiles / "labels.csv").write_text("id,label\n" + "\n".join(rows))
    for choice in ("ignore", "crop"):
        config = DataConfig(source=str(tiles), metadata=str(tiles / "labels.csv"), masks=choice)
        listing = reading.open_source(config)
        assert (len(listing.items), listing.rejected) == (24, ())
        assert sum(isinstance(item.image, masks.MarkedImage) for item in listing.items) == (
            12 if choice == "crop" else 0
        )


def test_masks_that_are_not_there_are_refused(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        Image.fromarray(image_with_values()).save(tmp_path / label / "0.png")
    with pytest.raises(DataError, match=r"data\.masks: no image in .* has a mask"):
        reading.open_source(DataConfig(source=str(tmp_path), masks="crop"))
    np.savez(tmp_path / "x.npz", train_images=np.zeros((4, 16, 16), np.uint8), train_labels=np.array([0, 0, 1, 1]))
    with pytest.raises(DataError, match=r"data\.masks: only images in a folder"):
        reading.open_source(DataConfig(source=str(tmp_path / "x.npz"), masks="crop"))
