"""What the page and the plain text of a comparison say, and in which order."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from rich.cells import cell_len

from synaug_core.config import Config
from synaug_core.evaluate.results import recall_changes
from synaug_core.evaluate.sentence import against_original_text, points, positive_control_text, power_text
from synaug_core.report.course import course
from synaug_core.report.html import embed_sheets
from synaug_core.report.page import comparison_page
from synaug_core.report.text import comparison_text
from synaug_core.report.words import number, percent
from synaug_core.seeds import derive

pytestmark = pytest.mark.filterwarnings("ignore:Glyph .* missing from font")

SKILLS = {"original": 1.0, "control": 1.5, "combined": 1.55}
CONTROLS = ("original", "control")
SECTIONS = {
    "arms": "Arms",
    "contrasts": "Synthetic images against the controls",
    "waterfall": "Step by step from the real images as they are",
    "classes": "Classes",
    "confusion": "Confusion matrices",
    "operating": "Recall of rare at a chosen precision",
    "calibration": "Calibration of the probabilities",
    "robustness": "Disturbed and attacked images",
    "maps": "Where the classifiers look",
    "images": "Images",
    "notes": "Notes of the run",
    "data": "Data",
    "course": "Procedure, stage by stage",
    "limits": "Limits of these figures",
    "configuration": "Configuration",
    "versions": "Versions",
    "links": "Links",
}


class Read(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.html, self.tags, self.words, self.headings, self.answer = html, [], [], {}, []
        self.alts, self.hrefs, self.anchor, self.inside = [], [], None, False
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append((tag, found))
        self.inside |= "answer" in (found.get("class") or "").split()
        self.anchor = found.get("id") if tag == "h2" else None
        if tag == "img":
            self.alts.append(found.get("alt"))
        if "href" in found:
            self.hrefs.append(found["href"])

    def handle_endtag(self, tag):
        self.inside &= tag != "div"
        self.anchor = None

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] != "style":
            self.words.append(data)
        if self.inside:
            self.answer.append(data)
        if self.anchor:
            self.headings[self.anchor] = data


@pytest.fixture(scope="module")
def none_shown(judged):
    return judged(SKILLS, CONTROLS)


@pytest.fixture(scope="module")
def full(none_shown, everything):
    return Read(comparison_page(none_shown, **everything(none_shown)))


def test_the_answer_comes_first_and_says_no_gain_shown_in_as_many_words(full, none_shown):
    assert none_shown.verdict == "no gain shown"
    said = " ".join("".join(full.answer).split())
    assert said == none_shown.sentence
    assert said.startswith("No gain shown: combined is ")
    numbered = re.search(r"\d+\.\d", full.text)
    assert numbered is not None
    assert full.text.index("No gain shown") < numbered.start()


@pytest.mark.parametrize(("skill", "kind", "head"), [(4.0, "yes", "Gain shown:"), (0.2, "worse", "No gain shown:")])
def test_the_answers_colour_follows_the_verdict(judged, skill, kind, head):
    page = Read(comparison_page(judged({**SKILLS, "combined": skill}, CONTROLS)))
    assert ("div", {"class": f"answer {kind}"}) in page.tags
    assert "".join(page.answer).startswith(head)
    assert ("not proof that there is none" in page.text) == (kind == "no")


def test_every_section_is_there_in_order_with_a_contents_that_leads_to_it(full):
    assert full.headings == SECTIONS
    assert list(full.headings) == list(SECTIONS)
    assert [h for h in full.hrefs if h.startswith("#")] == [f"#{anchor}" for anchor in SECTIONS]


def test_a_section_without_data_is_left_out(none_shown):
    bare = Read(comparison_page(none_shown.model_copy(update={"reliability": {}})))
    results = ["arms", "contrasts", "waterfall", "classes", "confusion"]
    assert list(bare.headings) == [*results, "calibration", "data", "limits"]


def test_each_part_has_its_section_and_no_other(none_shown, everything):
    given = everything(none_shown)
    some = {k: given[k] for k in ("notes", "course", "versions")}
    page = Read(comparison_page(none_shown.model_copy(update={"reliability": {}}), probes=given["probes"][1:], **some))
    always = {"arms", "contrasts", "waterfall", "classes", "confusion", "calibration", "data", "limits"}
    assert page.headings.keys() == always | {"maps", "notes", "course", "versions"}


def test_what_it_rests_on_is_said_before_any_figure(full, none_shown):
    before = full.text[: full.text.index("Point: mean")]
    for said in (
        "Design: 6 repetitions of 3 arms, paired by their initial weights, tested on the same 120 real images.",
        "the synthetic arm that does best on the validation images against every control, by balanced accuracy",
        "A gain has to beat every control: original, control; best of them on the validation images: control.",
        against_original_text(none_shown.against_original, 0.95),
        power_text(none_shown.power),
    ):
        assert said in before


def test_the_positive_control_is_told_of_and_marked(judged):
    c = judged(SKILLS | {"oracle": 1.0}, CONTROLS)
    [oracle] = _as_positive_control(c, "oracle").positive_control
    page, flat = (make(_as_positive_control(c, "oracle")) for make in (comparison_page, comparison_text))
    said = positive_control_text(oracle, 0.95)
    assert said in " ".join(flat.split())
    assert said in Read(page).text
    assert '<span class="tag">positive control</span>' in page


def _as_positive_control(c, arm):
    contrasts = {"positive_control": tuple(d for d in c.family if d.arm == arm)}
    result = c.arms[arm].model_copy(update={"is_positive_control": True})
    return c.model_copy(update=contrasts | {"arms": c.arms | {arm: result}})


def test_tests_and_pairs_are_named(full, none_shown):
    assert "the t test on the parts that trainings and test images have in the variance" in full.text
    assert "exact McNemar test of two trained models" in full.text
    first = none_shown.contrasts[0]
    assert f"{points(first.difference.mean)}".replace("-", "−") in full.text
    for pair in none_shown.mcnemar:
        assert f"{pair.repetition + 1} {pair.only_arm_right} {pair.only_against_right} " in full.text


def test_folds_are_called_folds(judged, everything):
    c = judged(SKILLS, CONTROLS, reps=2, folds=4)
    page = Read(comparison_page(c, **everything(c)))
    assert (
        "4-fold cross-validation repeated 2 times of 3 arms; each of 120 real images is a test image once" in page.text
    )
    assert "Means over folds" in page.text
    assert "are of the first fold alone" in page.text
    assert "corrected resampled t test" in page.text
    assert "of the first fold" in page.text
    assert "the same for all arms" not in page.text
    for wrong in ("McNemar", "parts that trainings", "repetitions with a threshold"):
        assert wrong not in page.text


def test_texts_cannot_break_out(full):
    tags = {tag for tag, _ in full.tags}
    assert not tags & {"script", "svg", "i", "b", "iframe", "link", "object", "form"}
    assert not [a for _, found in full.tags for a in found if a.startswith("on")]
    assert "<svg onload=alert(1)>" in full.text
    assert "javascript:alert(1)" in full.text


def test_nothing_is_fetched_and_links_lead_to_the_web_alone(full):
    policy = [found["content"] for tag, found in full.tags if tag == "meta" and "http-equiv" in found]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    sources = [found["src"] for _, found in full.tags if "src" in found]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert [h for h in full.hrefs if not h.startswith("#")] == ["http://127.0.0.1:5000/#/x"]
    assert "url(" not in full.html
    assert "@import" not in full.html


def test_every_image_has_an_alternative_text(full):
    assert len(full.alts) >= 8
    assert all(alt and len(alt) > 10 for alt in full.alts)
    assert len(set(full.alts)) == len(full.alts)


def test_large_sheets_lose_colours_but_not_their_size():
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    large = Image.fromarray(noise).resize((900, 600), Image.Resampling.BICUBIC)
    small = Image.fromarray(noise)
    shown = embed_sheets({"large": large, "again <b>": large, "small": small, "": large})
    assert [(caption, width) for caption, _, width in shown] == [
        *(("large", 900), ("again <b>", 900)),
        *(("small", 60), ("", 900)),
    ]
    modes = [Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).mode for _, address, _ in shown]
    assert modes == ["P", "P", "RGB", "P"]
    [(_, alone, _)] = embed_sheets({"small": small})
    assert alone == shown[2][1]


def test_changes_of_recall_are_differences_within_intervals_of_both(none_shown):
    found = recall_changes(none_shown, "combined")
    assert list(found) == ["rare", "middle", "common"]
    for name, d in found.items():
        ours, theirs = (none_shown.arms[a].metrics[f"class/{name}/recall"] for a in ("combined", "control"))
        assert d.mean == pytest.approx(ours.mean - theirs.mean)
        assert max(d.mean - (ours.mean - ours.low), ours.low - theirs.high) <= d.mean
        assert (
            ours.low - theirs.high
            <= d.low
            <= min(d.mean - (ours.mean - ours.low), d.mean - (theirs.high - theirs.mean))
        )
        assert d.high <= ours.high - theirs.low
    same = recall_changes(none_shown, "control")
    assert all(d.mean == 0 and d.low <= 0 <= d.high for d in same.values())


def test_there_is_no_change_without_a_control(judged):
    assert recall_changes(judged({"a": 1.0, "b": 2.0}, (), reps=1), "a") == {}


def test_the_course_names_every_stage_and_the_seeds_that_were_used(none_shown):
    stages = dict(course(Config(seed=5), none_shown))
    assert list(stages) == [
        *("Seeds", "Images", "Duplicates", "Division", "Generators", "Judges", "Images for synthetic, combined"),
        *("Judgement", "Search", "Training", "Test images", "Comparison", "Disturbed images", "Where they look"),
    ]
    told = {
        "Generators": ("generator",),
        "Judges": ("judges",),
        "Images for synthetic, combined": ("synthesis",),
        "Judgement": ("quality",),
        "Search": ("tuning", "control, combined"),
        "Comparison": ("comparison",),
        "Disturbed images": ("robustness",),
        "Where they look": ("explanation",),
    }
    for stage, parts in told.items():
        assert str(derive(5, *parts)) in stages[stage]
        assert "/".join(("5", *parts)) in stages[stage]
    assert str(derive(5, "reliability")) in stages["Comparison"]
    assert "5/reliability" in stages["Comparison"]
    assert (
        "of 1/8 of the arms' steps each, and the best 3 of them anew of 1/2 of the arms' steps, over"
        in stages["Search"]
    )
    assert str(derive(5, "init", 0)) in stages["Training"]
    assert str(derive(5, "batches", "original", 0)) in stages["Training"]


def test_the_course_follows_the_configuration(none_shown, judged):
    arms = [
        "original",
        {"name": "dup", "synthesis": {"strategy": "duplicate", "filters": None}},
        {"name": "online", "online": {"strategy": "targeted"}},
        {"name": "first", "synthesis": {"strategy": "mixup"}, "pretrain": 0.25, "synthetic_weight": 0.5},
    ]
    few = {"trials": 0}
    off = {"enabled": False}
    config = Config(arms=arms, tuning=few, quality=off, robustness=off, explanation=off, data={"per_class": 9})
    stages = dict(
        course(
            config, none_shown, {"split": "supplied", "duplicates": [{}, {"kind": "related"}], "facts": {"images": 77}}
        )
    )
    assert "77 images that could be used" in stages["Images"]
    assert "sought: 1 group." in stages["Duplicates"]
    assert "1 group of them stayed together where images were divided" in stages["Duplicates"]
    assert "source supplies" in stages["Division"]
    assert "at most 9 training images" in stages["Division"]
    assert "autoencoder" in stages["Generators"]
    assert "No filter" in stages["Images for dup"]
    assert "inside the training" in stages["Images for online"]
    assert stages["Search"].startswith("None")
    assert "first (synthetic images, these weigh 0.5, the first 25 % of the steps on them alone)" in stages["Training"]
    assert not stages.keys() & {"Judgement", "Disturbed images", "Where they look"}
    counted = none_shown.arms["original"].model_copy(
        update={"real_images": {"a": 1200.0, "b": 3.5}, "synthetic_images": {"a": 0.0, "b": 7.0}}
    )
    told = dict(course(config, none_shown.model_copy(update={"arms": none_shown.arms | {"original": counted}})))
    assert (
        f"original (the real images as they are, {number(1204)} real images and 7 synthetic ones)" in told["Training"]
    )
    folded = Config(data={"split": {"folds": 4}}, repetitions=2)
    told = dict(course(folded, judged(SKILLS, CONTROLS, reps=2, folds=4)))
    assert "4-fold cross-validation, 2 times" in told["Division"]
    assert "learnt inside each fold" in told["Division"]
    assert "Holm's correction" in told["Test images"]


def test_the_course_thins_in_the_order_in_which_it_was_done_and_names_the_draws(none_shown):
    said = dict(course(Config(seed=5, data={"per_class": 9, "long_tail": 20}), none_shown))["Division"]
    told = ["long tail of 20 to 1", "5/long_tail/…", "at most 9 training images", "5/low_data/…"]
    places = [said.index(words) for words in told]
    assert places == sorted(places)
    said = dict(course(Config(seed=5), none_shown))["Division"]
    assert not [words for words in told if words in said]


@pytest.fixture(scope="module")
def text(none_shown, everything):
    given = everything(none_shown)
    return comparison_text(none_shown, **{k: given[k] for k in ("name", "probes", "notes")})


def test_the_text_says_what_the_page_says(text, full, none_shown):
    flat = " ".join(text.split())
    assert none_shown.sentence in flat
    assert flat.index("No gain shown: ") < flat.index("Design:")
    for said in (power_text(none_shown.power), "describe; no test was made", "All figures are about these test images"):
        assert said in flat
        assert said in full.text
    for arm, result in none_shown.arms.items():
        for metric in ("balanced_accuracy", "macro_auc", "class/rare/recall"):
            v = result.metrics[metric]
            assert f"{percent(v.mean)} [{percent(v.low)}, {percent(v.high)}]" in text
            assert f"{percent(v.low)} – {percent(v.high)}" in full.text
        assert arm in text
    for d in (*none_shown.contrasts, *none_shown.against_controls, *none_shown.waterfall, *none_shown.family):
        assert f"{points(d.difference.low)} to {points(d.difference.high)}" in text
        assert f"{points(d.difference.low)} to {points(d.difference.high)}".replace("-", "−") in full.text


def test_the_text_names_the_controls(text, none_shown, judged):
    assert "Controls, which a gain has to beat: original, control." in " ".join(text.split())
    none = judged({"a": 1.0, "b": 2.0}, (), reps=1)
    assert "Controls, which a gain has to beat: none." in " ".join(comparison_text(none).split())


@pytest.mark.parametrize("classes", [2, 5, 37])
@pytest.mark.parametrize("arms", [("original", "control", "combined"), ("x" * 63, "y" * 63, "control"), ("combined",)])
def test_the_text_fits_a_terminal_whatever_the_names(comparison_of, classes, arms):
    c = comparison_of(classes, arms, reps=1)
    lines = comparison_text(c, name="日本" * 40, notes=["z" * 900, "a note"] + ["n"] * 60).splitlines()
    assert max(cell_len(line) for line in lines) <= 100
    assert not any(ord(char) < 32 for line in lines for char in line)
    assert "and 22 more" in "\n".join(lines)


def test_the_tables_of_the_text_fold_long_names_and_cut_none(judged):
    names = ("finding of the left upper lobe, rare", "no finding", "n" * 45)
    skills = {"original images as they came from the clinic": 1.0, "combined with the synthetic images": 1.4}
    text = comparison_text(judged(skills, tuple(skills)[:1], names=names), name="d" * 120)
    assert max(map(len, text.splitlines())) <= 100
    tables = {part.splitlines()[0]: part for part in text.split("\n\n")}
    classes, arms = tables["RECALL OF EACH CLASS, IN %"], tables["ARMS"]
    assert "…" not in classes
    assert all(word in classes for name in names[:2] for word in name.split())
    assert classes.count("n" * 16) == 2
    assert all(word in arms for arm in skills for word in arm.split())


def test_the_widest_figures_fit_too(judged):
    c = judged({"x" * 40: 9.0, "y" * 40: -9.0}, ("y" * 40,), reps=1, names=("r" * 40, "s" * 40), each=20)
    assert max(map(len, comparison_text(c).splitlines())) <= 100
