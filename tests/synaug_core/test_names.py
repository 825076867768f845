import itertools
import re

import pytest

from synaug_core.names import slug, slugs

VALID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat", "cat"),
        ("basal cell carcinoma", "basal-cell-carcinoma"),
        ("Café au lait", "Cafe-au-lait"),
        ("a/b (c)", "a-b-c"),
        ("large_drusen-2", "large_drusen-2"),
        ("5 – 10 mm", "5-10-mm"),
        ("n" * 80, "n" * 64),
        ("", "x"),
    ],
)
def test_what_can_be_read_stays_as_it_is(name: str, expected: str) -> None:
    assert slug(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("日本", "u65e5-u672c"), ("中国", "u4e2d-u56fd"), ("+", "u002b"), ("🍎", "u1f34e")]
)
def test_nothing_readable_gives_code_points(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_lost_letters_leave_a_hash_of_the_name() -> None:
    assert re.fullmatch(r"thalassemia-[0-9a-f]{8}", slug("α-thalassemia"))
    assert slug("α-thalassemia") != slug("β-thalassemia")
    assert slug("Stra\N{LATIN SMALL LETTER SHARP S}e") != slug("Strae") == "Strae"


def test_a_letter_may_be_written_in_two_ways() -> None:
    assert slug("한국") == slug("\u1112\u1161\u11ab\u1100\u116e\u11a8") == "ud55c-uad6d"


@pytest.mark.parametrize("name", ["日" * 200, "n" * 300, "n" * 63 + " /m", "\udcff\udcfe", "\0", "한" * 11, "日a" * 60])
def test_slugs_are_valid_and_bounded(name: str) -> None:
    for short in slugs([name, name + "!", name + "?"]).values():
        assert VALID.fullmatch(short)


def test_long_names_that_differ_at_their_end_differ() -> None:
    found = slugs([f"{'n' * 70}1", f"{'n' * 70}2"])
    assert len({*found.values()}) == 2
    assert slug("日" * 70 + "本") != slug("日" * 70)


def test_another_class_changes_no_slug_of_one_without_latin_letters() -> None:
    few, more = slugs(["日本", "A 日本"]), slugs(["中国", "A 中国", "日本", "A 日本", "A"])
    assert few == {name: more[name] for name in few}


def test_the_order_decides_nothing() -> None:
    names = ["a b", "a/b", "a-b", "日本", "中国", "u65e5-u672c", "Cafe\u0301", "Caf\u00e9", "Cafe"]
    expected = slugs(names)
    assert expected["a-b"] == "a-b"
    assert expected["u65e5-u672c"] == "u65e5-u672c"
    assert len(set(expected.values())) == len(names)
    for shuffled in itertools.islice(itertools.permutations(names), 0, None, 5000):
        assert slugs(shuffled) == expected
        assert list(slugs(shuffled)) == list(shuffled)


def test_a_name_that_looks_like_another_ones_hash_keeps_its_own() -> None:
    taken = slugs(["a b", "a/b"])["a b"]
    found = slugs(["a b", "a/b", taken])
    assert found[taken] == taken
    assert len(set(found.values())) == 3
