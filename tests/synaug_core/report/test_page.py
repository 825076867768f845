import pytest
from PIL import Image

from synaug_core.config import PromotionConfig
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.promotion import gate
from synaug_core.report.dataset import dataset_page
from synaug_core.report.page import comparison_page
from synaug_core.report.promotion import promotion_page
from tests.synaug_core.report.reading import Page

pytestmark = pytest.mark.filterwarnings("ignore:Glyph .* missing from font")

REPORT = {
    "source": "/data/<i>x</i>",
    "image_size": 28,
    "channels": 1,
    "split": "made",
    "counts": {"train": {"a": 10, "<b>": 3}, "val": {"a": 2, "<b>": 1}, "test": {"a": 2, "<b>": 1}},
    "rejected": [{"path": f"a/<img src=x onerror=y>{i}.png", "reason": "truncated"} for i in range(203)],
    "removed": [{"id": "q", "reason": "equal to a test image"}] * 3,
    "duplicates": [{"kind": "near", "ids": ["a", "b"], "classes": ["a", "a"], "splits": ["train", "test"]}],
    "conflicts": [{"ids": ["u", "v"], "classes": ["a", "<b>"]}],
    "dropped": [{"name": "rare<br>", "images": 2}],
    "thinned": 12,
    "facts": {"images": 20, "by_class": {"tiny": {"a": 2, "<b>": 1}}},
    "notes": ["a <note>"],
}


def _safe(html):
    """A page that runs nothing and fetches nothing."""
    page = Page(html)
    assert not {"script", "link", "iframe", "i", "b", "br"} & set(page.tags)
    assert page.events == []
    assert all(a.startswith("data:image/png;base64,") or a.removeprefix("#") in page.anchors for a in page.addresses)
    assert "@import" not in html
    assert "url(" not in html
    return page


@pytest.mark.parametrize("classes", [2, 5, 37])
def test_comparison_page(comparison_of, hostile, classes):
    c = comparison_of(classes)
    html = comparison_page(
        c,
        name="<script>",
        dataset=REPORT,
        sheets={"<b>sheet": Image.new("RGB", (9, 7))},
        config={"data": {"source": "</pre><script>"}},
        versions={"torch": "<2>"},
    )
    assert len(html) < 2e6
    page = _safe(html)
    assert page.text.index(c.sentence) < page.text.index("Arms")
    assert page.text.index("recall of") < page.text.index("balanced accuracy macro-AUC")
    assert hostile[0] in page.text
    for arm in c.arms:
        assert arm in page.text
    assert "Left out: 203 files that could not be used and 3 readable images." in page.text
    assert "a/<img src=x onerror=y>4.png: truncated" in page.text
    assert "onerror=y>5.png" not in page.text
    assert "and 198 more; dataset.html in the data set's MLflow run lists them" in page.text
    assert "3 × equal to a test image" in page.text
    assert '"source": "</pre><script>"' in page.text
    assert "Few test images" in page.text
    if classes > 2:
        assert "No test images" in page.text


@pytest.mark.parametrize("arms", [("original",), ("combined",), ("original", "combined", "other")])
def test_comparison_page_of_any_arms_and_nothing_else(comparison_of, arms):
    page = _safe(comparison_page(comparison_of(2, arms, reps=1)))
    assert "One repetition" in page.text
    assert ("Synthetic images against" in page.text) == ("original" in arms and "combined" in arms)


@pytest.mark.parametrize(
    ("files", "images", "expected"),
    [
        (1, 0, "Left out: 1 file that could not be used."),
        (4, 1, "Left out: 4 files that could not be used and 1 readable image."),
        (0, 2, "Left out: 2 readable images."),
        (0, 0, ""),
    ],
)
def test_what_was_left_out(comparison_of, files, images, expected):
    report = REPORT | {"rejected": REPORT["rejected"][:files], "removed": REPORT["removed"][:1] * images}
    text = Page(comparison_page(comparison_of(2), dataset=report)).text
    assert expected in text
    assert ("Left out" in text) == bool(expected)
    assert text.count("onerror=y") == files
    assert "more; dataset.html" not in text


def _predictions(comparison_of, skill):
    import numpy as np

    labels = np.repeat([0, 1], [20, 60]).astype(np.int64)
    rng = np.random.default_rng(int(10 * skill))
    p = np.where(rng.random(80) < skill, 0.9, 0.2)
    columns = np.where(labels == 0, p, 1 - p)
    return Predictions(tuple(map(str, range(80))), labels, np.stack([columns, 1 - columns], 1), ("<rare>", "b"))


@pytest.mark.parametrize(("ours", "word"), [(0.95, "Promoted"), (0.35, "Not promoted")])
def test_promotion_page(comparison_of, ours, word):
    decision = gate(
        _predictions(comparison_of, ours),
        _predictions(comparison_of, 0.4),
        train_counts={"<rare>": 3, "b": 9},
        config=PromotionConfig(),
        confidence=0.95,
        resamples=200,
        seed=0,
    )
    page = _safe(promotion_page(decision, name="synaug-<x>", version="7"))
    assert "synaug-<x>, version 7" in page.text
    assert page.text.count(word) >= 1
    assert "recall of <rare> (20 images)" in page.text


def test_promotion_page_of_the_first_model(comparison_of):
    decision = gate(
        _predictions(comparison_of, 0.9),
        None,
        train_counts={},
        config=PromotionConfig(),
        confidence=0.95,
        resamples=10,
        seed=0,
    )
    assert "first model" in _safe(promotion_page(decision)).text


def test_dataset_page():
    page = _safe(dataset_page(REPORT, name="<x>", sheets={"train": Image.new("RGB", (9, 7))}))
    for expected in (
        "19 images at 28 × 28 pixels, grey, from /data/<i>x</i>; split made",
        "a <note>",
        "rare<br> (2)",
        "equal to a test image 3",
        "a/<img src=x onerror=y>0.png",
        "… and 3 more",
        "1 group of nearly equal images",
        "12 training images, to make the long tail",
    ):
        assert expected in page.text
    assert "tiny a 2, <b> 1" in page.text


def test_dataset_page_with_nothing_left_out():
    assert "Nothing." in _safe(dataset_page({"counts": {"train": {"a": 1}}})).text
    assert "0 images" in _safe(dataset_page({})).text


def test_equal_input_gives_equal_pages(comparison_of):
    assert comparison_page(comparison_of(2)) == comparison_page(comparison_of(2))
