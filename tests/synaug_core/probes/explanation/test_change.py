from __future__ import annotations

import numpy as np
import pytest

from synaug_core.probes.explanation.explain import change_of_each, mean_change
from synaug_core.probes.explanation.report import Explanation, MapChange


def spot(down: int, right: int, size: int = 10) -> np.ndarray:
    found = np.zeros((size, size), np.float32)
    found[down : down + 3, right : right + 3] = 1
    return found


def test_equal_maps_do_not_differ_and_distant_ones_do() -> None:
    a = np.stack([spot(0, 0), spot(0, 0), spot(0, 0)])
    b = np.stack([spot(0, 0), 0.25 * spot(0, 0), spot(6, 6)])
    same, dimmer, apart = change_of_each(a, b)
    for found in (same, dimmer):
        assert found.correlation == pytest.approx(0, abs=1e-12)
        assert found.overlap == 0
    assert apart.overlap == 1
    assert apart.correlation > 1


def test_the_correlation_is_that_of_numpy_and_the_overlap_that_of_sets() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 20, 10, 10)).astype(np.float32)
    for x, y, found in zip(a, b, change_of_each(a, b), strict=True):
        assert found.correlation == pytest.approx(1 - np.corrcoef(x.ravel(), y.ravel())[0, 1], abs=1e-6)
        top_x, top_y = (set(np.argsort(-m.ravel())[:20]) for m in (x, y))
        assert found.overlap == pytest.approx(1 - len(top_x & top_y) / len(top_x | top_y))


def test_opposite_maps_are_two_apart() -> None:
    ramp = np.linspace(0, 1, 100, dtype=np.float32).reshape(1, 10, 10)
    [found] = change_of_each(ramp, 1 - ramp)
    assert found.correlation == pytest.approx(2)
    assert found.overlap == 1


def test_flat_maps_are_left_out() -> None:
    a = np.stack([spot(0, 0), np.zeros((10, 10), np.float32)])
    changes = change_of_each(a, np.stack([spot(0, 0)] * 2))
    assert changes[1] is None
    assert mean_change(changes).n == 1
    assert mean_change([None, None]) is None
    assert mean_change([]) is None


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="maps of the same images"):
        change_of_each(np.zeros((2, 4, 4), np.float32), np.zeros((3, 4, 4), np.float32))


def far(value: float, n: int = 12) -> MapChange:
    return MapChange(correlation=value, overlap=value / 2, n=n)


def test_the_sentence_holds_the_change_against_chance() -> None:
    change = {"original": far(0.6), "combined": far(0.3)}
    more = Explanation(reference="control", best="combined", change=change, noise=far(0.2))
    assert more.sentence() == (
        "The maps of combined differ from those of control by 0.30 (1 - correlation, mean of 12 test images); "
        "two trainings of control differ by 0.20 by chance alone."
    )
    less = Explanation(reference="control", best="combined", change=change, noise=far(0.3))
    assert less.sentence().endswith("and two trainings of control differ by 0.30: no more than chance changes.")
    once = Explanation(reference="control", change={"original": far(0.6, 1)})
    assert "The maps of original" in once.sentence()
    assert "1 test image); without a second training of control nobody knows" in once.sentence()
    assert Explanation(reference="control").sentence() == "There are no two arms whose maps could be compared."
    assert Explanation(reference="control", note="No maps.").sentence() == "No maps."


def test_metrics_leave_out_what_is_not_defined() -> None:
    assert Explanation(reference="control").metrics() == {}
    full = Explanation(reference="control", change={"a": far(0.4)}, noise=far(0.2))
    assert full.metrics() == {
        "explain/change/a": 0.4,
        "explain/overlap/a": 0.2,
        "explain/noise": 0.2,
        "explain/noise_overlap": 0.1,
        "explain/images": 12.0,
    }
    assert Explanation.model_validate_json(full.model_dump_json()) == full
