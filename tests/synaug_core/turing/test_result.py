from __future__ import annotations

import math

import pytest
import torch

from synaug_core.report.turing import result_page
from synaug_core.turing.answers import Answer
from synaug_core.turing.result import TuringResult, evaluate

HOSTILE = "<script>alert(1)</script>"


def answers(rater: str, right: list[bool], class_name: str = "a") -> list[Answer]:
    """Even images are synthetic."""
    return [
        Answer(
            rater=rater, item=i, image=f"image {i}", class_name=class_name, synthetic=i % 2 == 0,
            said_synthetic=(i % 2 == 0) == r, seconds=float(i), at=1.0,
        )
        for i, r in enumerate(right)
    ]  # fmt: skip


def test_one_rater_in_plain_words() -> None:
    found = evaluate(answers("Ann", [True] * 71 + [False] * 29), images=100)
    assert found.verdict == "distinguishable"
    assert found.sentence == (
        "One person told real and synthetic images apart in 71 % of cases (95 % interval 61 to 79 %; guessing gives "
        "50 %): distinguishable."
    )
    assert found.agreement is None
    assert len(found.fooled) == 29
    assert found.raters["Ann"] == found.pooled == found.classes["a"]


def test_too_few_answers_show_nothing() -> None:
    found = evaluate(answers("Ann", [True] * 6 + [False] * 4), images=10)
    assert found.verdict == "not shown to be distinguishable"
    assert found.sentence.endswith("10 answers do not rule out a rate of 83 %.")
    assert evaluate(answers("Ann", [True]), images=1).sentence.endswith("1 answer does not rule out a rate of 100 %.")


def test_taken_for_each_other() -> None:
    found = evaluate(answers("Ann", [False] * 90 + [True] * 10), images=100)
    assert found.verdict == "mistaken for each other"
    assert found.pooled.d_prime is not None
    assert found.pooled.d_prime < -2


def test_several_raters() -> None:
    two = answers("Ann", [True, True, False, False]) + answers("Bo", [True, False, False, True])
    found = evaluate(two, images=4)
    assert found.agreement is not None
    assert found.agreement.name == "Cohen's kappa"
    assert [(f.image, f.wrong, f.answers) for f in found.fooled] == [("image 2", 2, 2)]  # half is not most
    three = evaluate(two + answers("Cy", [True] * 4), images=4)
    assert three.agreement is not None
    assert (three.agreement.name, three.agreement.images) == ("Fleiss' kappa", 4)
    assert three.sentence.startswith("Three people")
    assert evaluate([a for i in range(7) for a in answers(f"r{i}", [True] * 9)], images=9).sentence.startswith("7 ")


def test_who_has_only_begun_does_not_shrink_the_agreement() -> None:
    some = answers("Ann", [True, False] * 5) + answers("Bo", [True] * 10) + answers("Cy", [True])
    found = evaluate(some, images=10)
    assert found.agreement is not None
    assert (found.agreement.raters, found.agreement.images) == (("Ann", "Bo"), 10)
    early = evaluate(answers("Ann", [True] * 5) + answers("Bo", [True, False]), images=10)
    assert early.agreement is not None
    assert early.agreement.images == 2
    apart = answers("Ann", [True]) + [a.model_copy(update={"item": 5}) for a in answers("Bo", [True])]
    assert evaluate(apart, images=10).agreement is None


def test_metrics_and_json() -> None:
    found = evaluate(answers("Ann", [True, False] * 5) + answers("Bo", [True] * 10), images=10)
    metrics = found.metrics()
    wanted = {"accuracy", "accuracy/low", "accuracy/high", "d_prime", "kappa", "raters"}
    assert {f"turing/{name}" for name in wanted} <= set(metrics)
    assert metrics["turing/raters"] == 2
    assert all(v is None or math.isfinite(v) for v in metrics.values())
    assert TuringResult.model_validate_json(found.model_dump_json()) == found


def test_without_answers() -> None:
    with pytest.raises(ValueError, match="no answers"):
        evaluate([], images=3)


def test_the_page_tells_and_runs_nothing() -> None:
    some = answers(HOSTILE, [True, False] * 5, HOSTILE) + answers("Bo", [False] * 10, HOSTILE)
    some += [a.model_copy(update={"item": a.item + 10, "class_name": "b"}) for a in answers("Bo", [False] * 4)]
    found = evaluate(some, images=14)
    page = result_page(found, lambda f: torch.full((1, 8, 8), f.item, dtype=torch.uint8), name=HOSTILE, note="n")
    assert "<script" not in page
    assert found.sentence.replace(" %", "\u00a0%").split(":")[0] in page
    assert "Synthetic images taken for real ones: 2" in page
    assert page.count("data:image/png") == len(found.fooled)
    assert "By class" in page
    empty = result_page(evaluate(answers("A", [True] * 4), images=4), lambda f: torch.zeros(1), name="n", note="")
    assert "None fooled most" in empty
