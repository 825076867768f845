"""The plan against imbalanced-learn's documented rules for over-sampling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synaug_core.config import SynthesisConfig
from synaug_core.errors import ConfigError, DataError
from synaug_core.synthesis.plan import frequent_classes, plan

COUNTS = {"b": 40, "a": 100, "c": 7, "d": 100}


@pytest.mark.parametrize(
    ("strategy", "new"),
    [
        ("auto", {"b": 60, "a": 0, "c": 93, "d": 0}),
        ("not majority", {"b": 60, "a": 0, "c": 93, "d": 0}),
        ("all", {"b": 60, "a": 0, "c": 93, "d": 0}),
        ("not minority", {"b": 60, "a": 0, "c": 0, "d": 0}),
        ("minority", {"b": 0, "a": 0, "c": 93, "d": 0}),
        ({"c": 20, "a": 130}, {"b": 0, "a": 30, "c": 13, "d": 0}),
    ],
)
def test_vocabulary(strategy, new):
    assert plan(COUNTS, strategy) == new
    assert list(plan(COUNTS, strategy)) == list(COUNTS)


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(1, 300), min_size=1))
def test_auto_makes_all_classes_as_large_as_the_largest(counts):
    new = plan(counts, "auto")
    assert {counts[name] + new[name] for name in counts} == {max(counts.values())}


@pytest.mark.parametrize(("ratio", "new"), [(1.0, 90), (0.5, 40), (0.105, 0), (0.1, 0)])
def test_ratio(ratio, new):
    assert plan({"a": 100, "b": 10}, ratio) == {"a": 0, "b": new}


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(0, 300), min_size=1), st.sampled_from([0.5, 1, 3]))
def test_every_gives_all_classes_the_same_share(counts, multiple):
    new = plan(counts, "every", multiple)
    assert all(abs(new[name] - multiple * n) <= 0.5 for name, n in counts.items())
    assert SynthesisConfig(sampling_strategy="every", multiple=multiple).sampling_strategy == "every"


@pytest.mark.parametrize(("multiple", "new"), [(1.0, 5), (0.5, 3), (0.1, 1), (0.09, 0), (2.5, 13)])
def test_multiple_rounds_half_up(multiple, new):
    assert plan({"a": 10, "b": 5}, "auto", multiple) == {"a": 0, "b": new}


def test_of_equally_small_classes_the_first_is_the_smallest():
    assert plan({"a": 9, "b": 3, "c": 3}, "minority") == {"a": 0, "b": 6, "c": 0}


def test_classes_without_images_are_left_out():
    assert plan({"a": 9, "b": 0, "c": 3}, "minority") == {"a": 0, "b": 0, "c": 6}
    assert plan({"a": 9, "b": 0, "c": 3}, 1.0) == {"a": 0, "b": 0, "c": 6}
    assert plan({"a": 9, "b": 0}, {"b": 0}) == {"a": 0, "b": 0}
    assert plan({"a": 0}, "auto") == {"a": 0}


@pytest.mark.parametrize(
    ("counts", "strategy", "message"),
    [
        (COUNTS, "most", "unknown word 'most'; known are auto, all"),
        ({"a": 5, "b": 9}, 1.2, r"must lie in \(0, 1\]"),
        ({"a": 5, "b": 9}, 0.3, r"below the present one \(0.556\)"),
        (COUNTS, 0.5, "needs two classes with images, there are 4"),
        (COUNTS, {"e": 5}, "unknown class 'e'; classes are b, a, c, d"),
        (COUNTS, {"b": 39}, "39 of class 'b' wanted, 40 are there"),
        ({"a": 5, "b": 0}, {"b": 4}, "'b' has no training images"),
    ],
)
def test_what_cannot_be_planned_is_refused(counts, strategy, message):
    with pytest.raises(ConfigError, match=message):
        plan(counts, strategy)


@pytest.mark.parametrize("word", ["auto", "not majority", "not minority", "all", "minority"])
def test_every_word_of_the_configuration_is_known(word):
    config = SynthesisConfig(sampling_strategy=word)
    assert plan(COUNTS, config.sampling_strategy, config.multiple)["a"] == 0


def test_frequent_classes_have_more_images_or_all_serve():
    assert frequent_classes("z", {"z": 5, "a": 100, "b": 5, "c": 6, "d": 1}) == ("a", "c")
    assert frequent_classes("z", {"z": 100, "a": 100, "b": 5, "d": 1}) == ("a", "b")
    with pytest.raises(DataError, match="no class but 'z' has two training images"):
        frequent_classes("z", {"z": 9, "a": 1})
