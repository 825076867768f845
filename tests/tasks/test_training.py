from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from synaug_core.config import STANDARD_ARMS, TuningConfig
from synaug_core.errors import ArtifactError
from synaug_core.refs import DatasetRef, ImageSetRef, SyntheticRef
from tasks.engine.storage import load_images, load_joined
from tasks.training import narrow_search, training_images

SYNTHETIC, ORIGINAL = STANDARD_ARMS["synthetic"], STANDARD_ARMS["original"]


@pytest.fixture
def made(stored: Callable[..., ImageSetRef]) -> tuple[ImageSetRef, ...]:
    return stored("madeb", [1] * 6), stored("madea", [0] * 3)


def test_an_arm_without_synthesis_sees_the_real_images_alone(
    dataset: DatasetRef, made: tuple[ImageSetRef, ...]
) -> None:
    images = training_images(dataset, ORIGINAL, made, 1.0)
    assert images.ids == ("train0", "train1", "train2", "train3")
    assert training_images(dataset, SYNTHETIC, (), None).ids == images.ids


@pytest.mark.parametrize(("share", "a", "b"), [(None, 3, 6), (1.0, 3, 6), (0.5, 2, 3), (0.1, 0, 1), (0.0, 0, 0)])
def test_a_share_is_the_first_part_of_each_class(
    dataset: DatasetRef, made: tuple[ImageSetRef, ...], share: float | None, a: int, b: int
) -> None:
    images = training_images(dataset, SYNTHETIC, made, share)
    assert images.ids[:4] == ("train0", "train1", "train2", "train3"), "the real images come first, all of them"
    added = images.ids[4:]
    assert [i for i in added if i.startswith("madea")] == [f"madea{i}" for i in range(a)]
    assert [i for i in added if i.startswith("madeb")] == [f"madeb{i}" for i in range(b)]
    assert images.counts() == {"a": 3 + a, "b": 1 + b}


def test_a_larger_share_keeps_what_a_smaller_one_had(dataset: DatasetRef, made: tuple[ImageSetRef, ...]) -> None:
    smaller = set(training_images(dataset, SYNTHETIC, made, 0.34).ids)
    assert smaller < set(training_images(dataset, SYNTHETIC, made, 0.7).ids)


def test_images_come_back_as_they_were_stored_and_are_read_once(dataset: DatasetRef) -> None:
    images = load_images(dataset.train)
    assert torch.equal(images.images[:, 0, 0, 0], torch.arange(4, dtype=torch.uint8))
    assert load_images(dataset.train) is images
    assert load_joined(()) is None


def test_a_file_that_was_changed_behind_our_back_is_refused(
    dataset: DatasetRef, stored: Callable[..., ImageSetRef]
) -> None:
    load_images(dataset.val)
    stored("val", [1, 0])
    with pytest.raises(ArtifactError, match="checksum is not the recorded one"):
        load_images(dataset.val)


def test_a_share_is_searched_where_images_were_made() -> None:
    arms = (STANDARD_ARMS["balanced"], SYNTHETIC)

    def searched(*counts: int) -> set[str]:
        parts = tuple(
            SyntheticRef(uri="file:///x", sha256="0" * 64, run_id="run", counts={"a": n}, planned=9, seconds=0.0)
            for n in counts
        )
        return set(narrow_search(TuningConfig(), arms, {"balanced": (), "synthetic": parts}).spaces())

    assert searched() == searched(0, 0) == {"learning_rate", "weight_decay", "dropout"}
    assert searched(0, 1) == searched() | {"synthetic_share"}
