"""The first screen: one sentence for the rarest class, what to do now, how many images passed."""

import pytest
from PIL import Image
from rich.console import Console

from synaug_core.data.png import encoded
from synaug_core.evaluate.choice import Choice
from synaug_core.evaluate.proportions import images_for_width, wilson
from synaug_core.evaluate.results import recall_changes
from synaug_core.refs import SyntheticRef
from synaug_core.report.answer import WHAT_AN_ARM_IS, Answer, SyntheticCounts, count_synthetic, synthetic_arm
from synaug_core.report.page import comparison_page
from synaug_core.report.sections import find_best_values
from synaug_core.report.terminal import table
from synaug_core.report.text import comparison_text
from synaug_core.report.words import percent
from tests.synaug_core.report.reading import Page

SKILLS = {"original": 1.0, "control": 1.6, "combined": 1.5}
CONTROLS = ("original", "control")
_PIXEL = encoded(Image.new("RGB", (1, 1)))
MADE = {"combined": SyntheticCounts({"rare": 101, "middle": 10, "common": 0}, {"rare": 33, "middle": 10, "common": 0})}


@pytest.fixture(scope="module")
def none_shown(judged):
    return judged(SKILLS, CONTROLS)


def _kept(c, arm):
    return c.model_copy(update={"choice": Choice(arm=arm, reason="it is the simplest")})


def test_the_rarest_class_stands_beside_all_with_intervals(none_shown):
    c = _kept(none_shown, "original")
    said = Answer.from_comparison(c).rare.replace("\N{NO-BREAK SPACE}", " ")
    recall, overall = (c.arms["original"].metrics[m] for m in ("class/rare/recall", "balanced_accuracy"))
    assert said.startswith(
        f"The model to keep, original, finds on average {percent(recall.mean)} % "
        f"of rare, the rarest class (95 % interval {percent(recall.low)} to "
        f"{percent(recall.high)} %; 40 test images, 10 in training), and its balanced accuracy over all classes is "
        f"{percent(overall.mean)} % ({percent(overall.low)} to {percent(overall.high)} %)"
    )
    with_synthetic = c.arms["combined"].metrics["class/rare/recall"]
    assert f"with synthetic images, combined comes to {percent(with_synthetic.mean)} %" in said
    assert "with synthetic images" not in Answer.from_comparison(_kept(c, "combined")).rare


@pytest.mark.parametrize(
    ("skill", "kind", "begins"),
    [
        (4.0, "yes", "Use the synthetic images of combined: they brought "),
        (0.2, "worse", "Leave the synthetic images of combined out: they cost "),
        (1.5, "no", "Train without synthetic images for now: with them, combined is "),
    ],
)
def test_what_to_do_with_synthetic_images_follows_the_verdict(judged, skill, kind, begins):
    c = judged({**SKILLS, "combined": skill}, CONTROLS)
    answer = Answer.from_comparison(_kept(c, "control"))
    keep, synthetic, *_ = answer.advice
    assert answer.kind == kind
    assert keep == "Keep control: it is the simplest."
    assert synthetic.startswith(begins)
    change = recall_changes(c, "combined")["rare"]
    word = "more" if change.mean > 0 else "less"
    assert f"; of rare it finds {abs(100 * change.mean):.1f}".removesuffix(".0") in synthetic
    assert f" {word} than control (" in synthetic
    assert "-" not in synthetic.replace("9-", "")


def test_what_more_images_would_bring_is_said(none_shown):
    advice = Answer.from_comparison(none_shown).advice
    assert any(
        s.startswith(
            "Collect real images of rare: it has 10 in training, and with 20 more it would have as many as common"
        )
        for s in advice
    )
    smaller = [s for s in advice if s.startswith("A true gain of less than ")]
    assert len(smaller) == (none_shown.power.detectable > 0.05)


def test_real_images_in_their_place_give_the_exchange_rate(judged):
    c = judged(SKILLS | {"oracle": 4.0}, CONTROLS)
    [real] = [d for d in c.family if d.arm == "oracle"]
    images = {"oracle": {"synthetic_images": {"rare": 20.0}}, "combined": {"synthetic_images": {"rare": 40.0}}}
    arms = {arm: r.model_copy(update=images.get(arm, {})) for arm, r in c.arms.items()}
    [own] = [d for d in c.family if d.arm == "combined"]
    own = own.model_copy(update={"difference": real.difference.model_copy(update={"mean": real.difference.mean / 4})})
    declared = (own, *c.contrasts[1:])
    c = c.model_copy(update={"arms": arms, "positive_control": (real,), "family": (own,), "contrasts": declared})
    [sentence] = [
        s for s in Answer.from_comparison(c).advice if s.startswith("Collect real images: 20 more of them in the ")
    ]
    assert f"about +{50 * real.difference.mean:.1f} for every 10" in sentence
    assert "at this rate the 40 synthetic images of combined were worth about 5." in sentence


def test_few_test_images_of_the_rarest_class_are_told(comparison_of):
    c = comparison_of(2)
    [sentence] = [s for s in Answer.from_comparison(c).advice if s.startswith("Set more images of ")]
    share = c.arms[c.best_arm].metrics[f"class/{c.slug(c.rarest_class)}/recall"].mean
    assert f"within 10 points takes {images_for_width(share, 0.1)} or more, and there are 6" in sentence


@pytest.mark.parametrize("share", [0.0, 0.5, 0.875, 1.0])
def test_images_for_an_interval_are_as_few_as_do(share):
    n = images_for_width(share, 0.1)
    assert [wilson(share, m)[1] - wilson(share, m)[0] <= 0.2 for m in (n - 1, n)] == [False, True]


def _made(planned, passed):
    reference = {"uri": "file:///x", "sha256": "0" * 64, "run_id": "r", "seconds": 1.0}
    return SyntheticRef(**reference, counts=passed, planned=sum(planned.values()), planned_counts=planned)


def test_images_that_passed_are_counted_by_class_over_all_parts():
    parts = {
        "combined": (_made({"rare": 90}, {"rare": 30}), _made({"rare": 11, "middle": 10}, {"rare": 3, "middle": 10})),
        "control": (),
    }
    image_counts = count_synthetic(parts)
    assert list(image_counts) == ["combined"]
    assert image_counts["combined"].sentence("rare") == (
        "33 of 101 planned synthetic images of rare passed the filters (43 of 111 of all classes)."
    )
    assert image_counts["combined"].sentence("common") == "43 of 111 planned synthetic images passed the filters."


def test_the_images_shown_are_those_of_the_judged_arm(none_shown):
    others = {"first": MADE["combined"], **MADE}
    assert synthetic_arm(none_shown, others) == "combined"
    assert synthetic_arm(none_shown, {"first": MADE["combined"]}) == "first"
    assert synthetic_arm(none_shown, {}) is None


def test_page_and_text_begin_with_the_answer_and_say_the_same(none_shown):
    answer, model = (
        Answer.from_comparison(none_shown, MADE),
        "Registered as synaug-x version 1. Promoted: it is the first.",
    )
    figures = dict.fromkeys(("forest", "recall_by_class", "reliability", "operating", "waterfall"), _PIXEL)
    page = Page(comparison_page(none_shown, figures=figures, image_counts=MADE, model=model)).text
    text = " ".join(
        comparison_text(none_shown, image_counts=MADE, model=model, data_notes=["3 files are cut off."]).split()
    )
    for said in (answer.rare, *answer.advice, answer.passed, model, WHAT_AN_ARM_IS):
        assert " ".join(said.split()) in text
        assert page.count(" ".join(said.split())) == 1
    order = [none_shown.sentence, answer.rare, "What to do now", answer.advice[0], model, "What the answer rests on"]
    places = [page.index(" ".join(part.split())) for part in order]
    assert places == sorted(places)
    assert "WHAT THE DATA CHECK SAW - 3 files are cut off." in text


def test_the_best_of_a_column_is_marked_only_where_it_is_alone(none_shown):
    best = find_best_values(none_shown, "page")
    assert set(best.values()) <= {None, *none_shown.arms}
    key = "balanced_accuracy"
    first, second, *_ = sorted(none_shown.arms, key=lambda a: -none_shown.arms[a].metrics[key].mean)
    assert best[key] == first
    level = none_shown.arms[first].metrics[key]
    almost = level.model_copy(update={"mean": level.mean - 1e-6})
    metrics = none_shown.arms[second].metrics | {key: almost}
    arms = none_shown.arms | {second: none_shown.arms[second].model_copy(update={"metrics": metrics})}
    assert find_best_values(none_shown.model_copy(update={"arms": arms}), "page")[key] is None


def test_the_terminal_says_what_an_arm_is(none_shown):
    console = Console(width=60)
    with console.capture() as capture:
        console.print(table(none_shown))
    assert WHAT_AN_ARM_IS in " ".join(capture.get().split())
