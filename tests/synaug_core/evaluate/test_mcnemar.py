import numpy as np
import pytest
from scipy.stats import binomtest

from synaug_core.evaluate.mcnemar import discordances, mcnemar


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 5), (3, 9), (40, 41), (200, 150)])
def test_it_is_statsmodels_exact_test(first, second):
    from statsmodels.stats import contingency_tables as tables

    expected = tables.mcnemar([[100, first], [second, 30]], exact=True).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)


def test_each_pair_is_counted_on_its_own(exact):
    labels = [0, 0, 0, 1, 1, 1, 1, 1]
    perfect, three_wrong = exact(labels, labels, 2), exact(labels, [1, 1, 1, 1, 1, 1, 1, 1], 2)
    one_wrong = exact(labels, [0, 0, 0, 0, 1, 1, 1, 1], 2)
    found = discordances([perfect, one_wrong, perfect], [three_wrong, three_wrong])
    assert [(d.repetition, d.only_arm_right, d.only_against_right) for d in found] == [(0, 3, 0), (1, 3, 1)]
    assert [d.p_value for d in found] == pytest.approx([binomtest(3, 3).pvalue, binomtest(3, 4).pvalue])


def test_other_images_are_refused(made):
    with pytest.raises(ValueError, match="same test images"):
        discordances([made((3, 4))], [made((3, 5))])
    with pytest.raises(ValueError, match="at least one repetition"):
        discordances([], [])


def test_under_the_null_it_keeps_its_level():
    rng = np.random.default_rng(0)
    only = rng.binomial(60, 0.5, 3000)
    assert np.mean([mcnemar(int(k), 60 - int(k)) < 0.05 for k in only]) < 0.055
