import pytest
from hypothesis import given
from hypothesis import strategies as st

from synaug_core.config import GeneratorConfig
from synaug_core.generators.grouping import groups

COUNTS = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(1, 500), min_size=1)


@given(COUNTS, st.sampled_from(["cpu", "cuda"]), st.sampled_from([None, 1, 3, 50]))
def test_every_class_is_in_one_group(counts, device_type, group_size):
    found = groups(counts, GeneratorConfig(group_size=group_size), device_type=device_type)
    assert sorted(name for group in found for name in group) == sorted(counts)
    assert all(found)
    assert all(len(group) <= (group_size or len(counts)) for group in found)
    backwards = dict(reversed(counts.items()))
    assert found == groups(backwards, GeneratorConfig(group_size=group_size), device_type=device_type)


def test_a_gpu_takes_all_classes_in_one_call():
    assert groups({"b": 3, "a": 4}, GeneratorConfig(), device_type="cuda") == (("a", "b"),)


def test_on_a_cpu_each_class_is_a_group_of_its_own():
    counts = {f"c{i:02}": 30 for i in range(37)}
    assert groups(counts, GeneratorConfig(), device_type="cpu") == tuple((name,) for name in sorted(counts))


def test_groups_of_a_given_size_share_the_cost():
    counts = {f"c{i:02}": 30 for i in range(37)}
    found = groups(counts, GeneratorConfig(group_size=10), device_type="cpu")
    assert len(found) == 4
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_the_costliest_group_comes_first():
    counts = {"large": 200, "tiny": 1, "small": 2}
    found = groups(counts, GeneratorConfig(batch_size=32, group_size=2), device_type="cpu")
    assert found == (("large",), ("small", "tiny"))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_group_size_is_kept(size):
    counts = {f"c{i}": 30 for i in range(7)}
    found = groups(counts, GeneratorConfig(group_size=size), device_type="cpu")
    assert max(map(len, found)) <= size
    assert len(found) == -(-7 // size)


def test_no_classes_no_groups():
    assert groups({}, GeneratorConfig(), device_type="cpu") == ()
