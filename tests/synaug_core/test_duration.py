from __future__ import annotations

import dataclasses

import pytest

from synaug_core.config.load import load
from synaug_core.data.overview import Overview
from synaug_core.duration import describe_duration, estimate_seconds

WBC = Overview(
    source="wbc", kind="folder", classes={"a": 202, "b": 84, "c": 33}, training={"a": 121, "b": 50, "c": 20},
    sides={"train": 191, "val": 48, "test": 80}, origin="made", division=None, groups=0, image_size=128, fit="crop",
    heights=(127, 128, 128), widths=(127, 128, 128), colour=True, inspected=319, seconds_per_image=0.001, findings=(),
    warnings=(),
)  # fmt: skip


@pytest.mark.parametrize(
    ("classes", "training", "size", "images", "measured"),
    [(3, (121, 50, 20), 128, 319, 227), (2, (332, 122), 28, 780, 141), (37, (29,) * 29 + (18,) * 8, 224, 1523, 720)],
    ids=["blood cells", "BreastMNIST", "Caltech-101"],
)
def test_runs_of_low_effort_took_about_as_long(classes, training, size, images, measured):
    counts = {str(n): count for n, count in enumerate(training)}
    seen = dataclasses.replace(WBC, classes={**counts, "0": images - sum(training) + training[0]}, training=counts,
                               image_size=size)  # fmt: skip
    assert len(counts) == classes
    total = sum(estimate_seconds(load("digits", ["effort=low"]), seen, cores=2).values())
    assert measured / 2 < total < 2 * measured


def test_more_of_everything_takes_longer_and_more_cores_less():
    def total(*overrides: str, cores: int = 2) -> float:
        return sum(estimate_seconds(load("digits", list(overrides)), WBC, cores=cores).values())

    assert total("effort=low") < total() < total("effort=high")
    assert total(cores=8) < total()
    assert total("repetitions=12") > total()
    assert total("data.split.folds=5") > 3 * total()
    assert total("classifier.backbone=small_cnn") > total("classifier.backbone=small_cnn", "tuning.trials=0")


def test_a_duration_in_words():
    assert describe_duration({"dataset": 60.0, "training": 540.0}).startswith("about 6 to 15 minutes on this machine")
    assert "most of it training" in describe_duration({"dataset": 60.0, "training": 540.0})
    assert describe_duration({"training": 5 * 3600.0}).startswith("about 3 to 8 hours")
