import pytest

from synaug_core.evaluate.intervals import Interval
from synaug_core.report.words import columns_of, folded, in_figure, metric_name, number, percent, plain, span


def test_names_become_one_printable_line(hostile):
    for name in hostile:
        line = plain(name)
        assert line.isprintable()
        assert 0 < len(line) <= 28
    assert plain("\x1b[2J\u202e\n") == "[2J"
    assert plain("\n") == "(no name)"
    assert plain("a" * 40, 10) == "a" * 9 + "…"


def test_long_names_are_folded_between_words_and_never_cut():
    assert folded("rare finding of the left lung", 12, "  ") == "rare finding\n  of the left\n  lung"
    assert folded("a" * 25, 10).split("\n") == ["a" * 10, "a" * 10, "a" * 5]
    assert folded("short", 10) == "short"
    lines = folded("日本" * 10, 9).split("\n")
    assert "".join(lines) == "日本" * 10
    assert max(map(columns_of, lines)) == 8
    assert columns_of("a\nbcd") == 3


def test_dollars_are_no_mathematics():
    assert in_figure("$x^2$") == r"\$x^2\$"


def test_numbers():
    assert percent(0.7125) == "71.2"
    assert number(1234567) == "1\u2009234\u2009567"
    assert span(Interval(mean=0.5, low=0.4, high=0.65)) == "40.0 – 65.0"


@pytest.mark.parametrize(("metric", "name"), [("macro_auc", "macro-AUC"), ("some_other", "some other")])
def test_metric_names(metric, name):
    assert metric_name(metric) == name
