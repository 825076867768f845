import pytest

from synaug_core.config import EvaluationConfig
from synaug_core.evaluate.comparison import compare
from synaug_core.evaluate.results import judged_arm, shown_arms


@pytest.fixture
def compared(made):
    """`compared(arms)`: a comparison of arms, the later the better, of which `original` and `control` are controls."""

    def make(*arms):
        test = {arm: [made((8, 20), skill=i, seed=10 * i + r) for r in range(2)] for i, arm in enumerate(arms)}
        scores = {arm: [float(i)] for i, arm in enumerate(arms)}
        config, controls = EvaluationConfig(resamples=50), ("original", "control")
        return compare(test, scores, controls=controls, train_counts={}, config=config, seed=0)

    return make


@pytest.mark.parametrize(
    ("arms", "judged", "shown"),
    [
        (("original", "control", "synthetic", "combined"), "combined", ["control", "combined"]),
        (("original", "control"), None, ["control"]),
        (("synthetic", "combined"), None, ["combined"]),
    ],
)
def test_the_arms_that_are_shown(compared, arms, judged, shown):
    found = compared(*arms)
    assert judged_arm(found) == judged
    assert shown_arms(found) == shown


def test_without_a_verdict_the_best_synthetic_arm_stands_beside_the_control(compared):
    found = compared("original", "control", "synthetic").model_copy(update={"contrasts": ()})
    assert judged_arm(found) is None
    assert shown_arms(found) == ["control", "synthetic"]
