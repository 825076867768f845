from __future__ import annotations

import numpy as np
import pytest

from synaug_core.evaluate.predictions import Predictions
from synaug_core.probes.explanation.explain import choose, sample

LABELS = [0, 0, 0, 0, 0, 1, 1, 1, 2]


def test_the_most_changed_are_shown_and_each_class_once(says) -> None:
    control = says(LABELS, [0.5] * 9, classes=3)
    best = says(LABELS, [0.9, 0.2, 0.95, 0.45, 0.5, 0.6, 0.5, 0.5, 0.55], classes=3)
    chosen = choose({"control": [control], "combined": [best]}, reference="control", best="combined", images=4)
    assert [c.id for c in chosen] == ["i2", "i0", "i5", "i8"]
    assert np.allclose([c.difference for c in chosen], [0.45, 0.4, 0.1, 0.05])
    assert [c.why for c in chosen] == [
        "most changed: p(true) +0.45 with combined",
        "most changed: p(true) +0.40 with combined",
        "most changed: p(true) +0.10 with combined",
        "most changed of its class: p(true) +0.05 with combined",
    ]


@pytest.mark.parametrize(("images", "classes"), [(1, [2]), (2, [1, 2]), (3, [0, 1, 2])])
def test_the_rarest_class_comes_first_where_room_is_short(says, images: int, classes: list[int]) -> None:
    found = {"control": [says(LABELS, [0.5] * 9, classes=3)], "x": [says(LABELS, [0.9] * 9, classes=3)]}
    chosen = choose(found, reference="control", best="x", images=images)
    assert sorted(LABELS[int(c.id[1:])] for c in chosen) == classes


def test_losses_count_as_gains_do_and_repetitions_are_averaged(says) -> None:
    labels = [0, 1, 0]
    control = [says(labels, [0.9, 0.5, 0.5]), says(labels, [0.7, 0.5, 0.5])]
    best = [says(labels, [0.1, 0.6, 0.4]), says(labels, [0.3, 0.6, 0.9])]
    chosen = choose({"control": control, "x": best}, reference="control", best="x", images=5)
    assert [c.id for c in chosen] == ["i0", "i2", "i1"]
    assert chosen[0].why == "most changed: p(true) −0.60 on average with x"


def test_without_a_synthetic_arm_all_arms_are_asked(says) -> None:
    labels = [0, 1]
    found = {"a": [says(labels, [0.2, 0.5])], "b": [says(labels, [0.9, 0.5])], "c": [says(labels, [0.5, 0.6])]}
    first, _ = choose(found, reference="a", best=None, images=2)
    assert (first.id, first.why) == ("i0", "most changed: p(true) of the arms differs by 0.70")


def test_predictions_in_another_order_and_of_other_folds(says) -> None:
    labels = [0, 1, 1]
    control = says(labels, [0.5, 0.5, 0.5])
    best = says(labels, [0.5, 0.9, 0.5])
    turned = best.in_order(("i2", "i1", "i0"))
    elsewhere = Predictions(("z",), np.array([0]), np.array([[0.5, 0.5]]), best.classes)
    plain = choose({"control": [control], "x": [best]}, reference="control", best="x", images=2)
    other = choose({"control": [control], "x": [turned]}, reference="control", best="x", images=2)
    assert plain == other
    folds = choose({"control": [control, elsewhere], "x": [turned]}, reference="control", best="x", images=2)
    assert [c.id for c in folds] == [c.id for c in plain]
    with pytest.raises(ValueError, match="arm x has no predictions"):
        choose({"control": [control], "x": [elsewhere]}, reference="control", best="x", images=2)


def test_the_sample_takes_classes_in_turn_and_repeats() -> None:
    labels = np.array([0] * 50 + [1] * 3 + [2] * 10)
    drawn = sample(labels, 15, seed=1)
    assert np.array_equal(drawn, sample(labels, 15, seed=1))
    assert not np.array_equal(drawn, sample(labels, 15, seed=2))
    assert np.bincount(labels[drawn]).tolist() == [6, 3, 6]
    assert (np.diff(drawn) > 0).all()
    assert sample(labels, 1000, seed=1).tolist() == list(range(63))
    assert sample(labels[:0], 5, seed=1).tolist() == []
