import dataclasses
import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synaug_core.config import QualityConfig
from synaug_core.quality.assess import assess
from synaug_core.quality.features import ClassifierFeatures, FrozenFeatures
from synaug_core.quality.report import QualityReport
from synaug_core.quality.usefulness import measure_usefulness, replace_real_images

CONFIG = QualityConfig(null_draws=20)


@pytest.fixture(scope="module")
def held_out(striped):
    return striped((20, 12, 1), seed=7, name="held")


def copies(train, counts, children):
    """Synthetic images that are training images."""
    own = train.head_of_each_class(counts)
    return children(train, [[i] for i in own.ids])


@pytest.fixture(scope="module")
def fresh(striped):
    """As good as synthetic images can be: new draws of the reals' own distribution."""
    made = striped((20, 12, 6), seed=9, name="fresh")
    return dataclasses.replace(made, provenance=('{"generator": "made", "parents": []}',) * len(made))


@pytest.fixture(scope="module")
def space(classifier):
    return ClassifierFeatures(classifier)


@pytest.fixture(scope="module")
def report(train, held_out, fresh, children, space, judges):
    again = copies(train, {"a": 24, "b": 15, "c": 9}, children)
    noisy = dataclasses.replace(again, images=again.images // 2 + 40)
    return assess(
        train,
        held_out,
        fresh,
        points_of=space,
        judges=judges,
        reconstruction=noisy,
        config=CONFIG,
        seed=1,
    )


def test_real_images_pass_for_real(report):
    figures = report.classes["a"].synthetic
    assert (figures.n, figures.matched, figures.k, figures.kid_null_n) == (20, 20, 5, 10)
    assert abs(figures.kid_z) < 4
    assert figures.coverage > 0.6
    assert figures.density == pytest.approx(1, abs=0.5)
    assert figures.vendi_relative == pytest.approx(1, abs=0.3)
    assert abs(figures.copying_z) < 3
    assert figures.nearest_distance == pytest.approx(1, abs=0.1)
    assert figures.judged == 20
    assert figures.agreement > 0.5
    assert report.classes["a"].reals.n == 24
    assert report.classes["a"].reconstruction.nearer_than_reconstruction is None


def test_too_few_held_out_images_are_undefined(report):
    quality = report.classes["c"]
    assert quality.held_out == 1
    figures = quality.synthetic
    for name in ("kid", "kid_z", "kid_null_mean", "density", "coverage", "vendi", "vendi_relative"):
        assert getattr(figures, name) is None
    assert figures.nearest_distance > 0
    assert report.overall()["kid"].classes == 2
    assert report.overall()["nearest_distance"].classes == 3


def test_metrics_are_finite_and_leave_out_what_is_undefined(report):
    metrics = report.metrics()
    assert all(isinstance(v, float) and math.isfinite(v) for v in metrics.values())
    assert {"quality/kid/a", "quality/kid", "quality/reals/coverage/b", "quality/images/c"} <= metrics.keys()
    assert "quality/kid/c" not in metrics
    assert metrics["quality/kid"] == pytest.approx((metrics["quality/kid/a"] + metrics["quality/kid/b"]) / 2)
    assert metrics["quality/matched/b"] == 12


def test_the_report_survives_json_and_makes_a_table(report):
    assert QualityReport.model_validate(json.loads(report.model_dump_json())) == report
    rows = report.table()
    assert [(r["class"], r["images"]) for r in rows[:3]] == [("a", "synthetic"), ("a", "reconstruction"), ("a", "real")]
    assert len(rows) == 9


def test_copies_are_told(train, held_out, children, space, judges):
    made = copies(train, {"a": 20}, children)
    found = assess(train, held_out, made, points_of=space, config=CONFIG, seed=1)
    assert list(found.classes) == ["a"]
    figures = found.classes["a"].synthetic
    assert (figures.nearest_distance, figures.nearest_ratio, figures.authentic) == (0, 0, 0)
    assert figures.copying_z < -4
    assert figures.agreement is None
    assert found.classes["a"].reconstruction is None


def test_frozen_features_see_another_class_and_blur(train, held_out, fresh, quick):
    space = FrozenFeatures.load(quick, channels=1, size=16).fit(train)
    assert space(train).mean(0).abs().max() < 1e-4
    own = assess(train, held_out, fresh, points_of=space, config=CONFIG, seed=1)
    assert own.space.startswith("tf_efficientnet_lite0 with its pretrained weights, shown images of 64 px")
    assert abs(own.classes["a"].synthetic.kid_z) < 4
    blurred = torch.nn.functional.avg_pool2d(fresh.images.float(), 3, stride=1, padding=1).to(torch.uint8)
    other = fresh.take(fresh.labels == 1)
    for wrong in (
        dataclasses.replace(fresh, images=blurred),
        dataclasses.replace(other, labels=torch.zeros_like(other.labels)),
    ):
        figures = assess(train, held_out, wrong, points_of=space, config=CONFIG, seed=1).classes["a"].synthetic
        assert figures.kid_z > 4
        assert figures.coverage < own.classes["a"].synthetic.coverage


def test_noise_is_told(train, held_out, fresh, space):
    other = fresh.take(fresh.labels == 1)
    wrong = dataclasses.replace(other, labels=torch.zeros_like(other.labels))
    figures = assess(train, held_out, wrong, points_of=space, config=CONFIG, seed=1).classes["a"].synthetic
    assert figures.kid_z > 4
    assert figures.kid_null_above == 0


def test_equal_arguments_give_equal_reports_and_classes_stand_alone(train, held_out, fresh, space):
    config = CONFIG.model_copy(update={"most": 10})
    calls = []
    options = {"points_of": space, "config": config, "seed": 1}
    both = assess(train, held_out, fresh, **options, progress=lambda d, t, **v: calls.append((d, t)))
    alone = assess(train, held_out, fresh.of_class("b"), **options)
    assert both.classes["b"] == alone.classes["b"]
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert both.classes["a"].synthetic.n == 10
    assert both.classes["a"].synthetic_count == 20
    assert both != assess(train, held_out, fresh, **{**options, "seed": 2})


def test_nothing_made_is_an_empty_report(train, held_out, fresh, space):
    found = assess(train, held_out, fresh.take([]), points_of=space, config=CONFIG, seed=1)
    assert found.classes == {}
    assert found.metrics() == {}
    assert found.table() == []


def test_no_held_out_images_at_all(train, held_out, fresh, space):
    found = assess(train, held_out.take([]), fresh, points_of=space, config=CONFIG, seed=1)
    figures = found.classes["a"].synthetic
    assert (figures.matched, figures.kid, figures.coverage, figures.copying_z) == (0, None, None, None)
    assert figures.authentic is not None


def test_replaced_sets_have_equal_counts(train, fresh):
    sets = replace_real_images(train, fresh.take(fresh.labels != 1), seed=1)
    assert sets.counts == {"a": 12, "c": 4}
    assert sets.real.counts() == sets.synthetic.counts() == {"a": 24, "b": 15, "c": 9}
    assert set(sets.real.ids) <= set(train.ids)
    assert {i for i in sets.synthetic.ids if i not in train.ids} <= set(fresh.ids)
    assert {i for i in sets.synthetic.ids if i in train.ids} <= set(sets.real.ids)
    assert set(sets.synthetic.of_class("b").ids) == set(train.of_class("b").ids)


@given(st.integers(1, 24), st.integers(1, 12), st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0]))
def test_the_real_share_stays_in_each_class(striped, reals, synthetics, share):
    images, others = striped((reals, 5, 2)), striped((synthetics, 0, 0), seed=3, name="fresh")
    sets = replace_real_images(images, others, seed=1, real_share=share)
    class_images = sets.synthetic.of_class("a")
    real_count = sum(i.startswith("real") for i in class_images.ids)
    assert real_count >= share * len(class_images)
    assert sets.counts.get("a", 0) == len(class_images) - real_count <= synthetics
    assert sets.real.counts() == sets.synthetic.counts()
    if share == 0:
        assert sets.counts["a"] == min(reals, synthetics)


def test_good_images_are_as_useful_as_reals_and_noise_is_not(train, held_out, fresh, quick):
    held = held_out.take(held_out.labels != 2)
    good = measure_usefulness(train, fresh, held, quick, seed=1)
    swapped = dataclasses.replace(fresh, labels=(fresh.labels + 1) % 3)
    bad = measure_usefulness(train, swapped, held, quick, seed=1)
    assert good.replaced == {"a": 12, "b": 7, "c": 4}
    assert set(good.real_recall) == {"a", "b"}
    assert good.synthetic == pytest.approx(sum(good.synthetic_recall.values()) / 2)
    assert abs(good.difference) < 0.25
    assert bad.difference < -0.2
    assert measure_usefulness(train, fresh.take([]), held, quick, seed=1) is None
    nothing = measure_usefulness(train, fresh, held.take([]), quick.model_copy(update={"steps": 1}), seed=1)
    assert nothing.real is nothing.difference is None


def test_usefulness_is_part_of_the_report(train, held_out, fresh, space, quick):
    calls = []
    quick = quick.model_copy(update={"steps": 2})
    found = measure_usefulness(train, fresh, held_out, quick, seed=1, progress=lambda d, t, **v: calls.append((d, t)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    kept = assess(train, held_out, fresh, points_of=space, config=CONFIG, seed=1, usefulness=found)
    assert kept.metrics()["quality/usefulness/difference"] == pytest.approx(found.difference)
    assert "quality/usefulness/synthetic_recall/a" in kept.metrics()
    assert QualityReport.model_validate_json(kept.model_dump_json()) == kept
