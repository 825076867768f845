import pytest

from synaug_core.data.thinning import equal_shares


@pytest.mark.parametrize(
    ("capacity", "total", "expected"),
    [
        ((50, 50), 20, (10, 10)),
        ((3, 50, 50), 43, (3, 20, 20)),
        ((100, 0, 7, 9), 36, (20, 0, 7, 9)),
        ((5, 5), 200, (5, 5)),
        ((4, 4, 4), 7, (3, 2, 2)),
        ((1, 4, 4), 6, (1, 3, 2)),
        ((), 5, ()),
        ((4, 4), 0, (0, 0)),
    ],
)
def test_shares_are_as_equal_as_they_can_be(capacity, total, expected):
    shares = equal_shares(dict(enumerate(capacity)), total, range(len(capacity)))
    assert tuple(shares.values()) == expected


def test_the_order_decides_who_gets_what_is_left_over():
    assert equal_shares({"a": 4, "b": 4, "c": 4}, 7, ["c", "a", "b"]) == {"a": 2, "b": 2, "c": 3}
    assert equal_shares({"a": 4, "b": 4, "c": 2}, 8, ["c", "b", "a"]) == {"a": 3, "b": 3, "c": 2}
