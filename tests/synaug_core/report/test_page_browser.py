"""The page of a comparison in a real browser, on a screen and on paper."""

import re

import pytest

from synaug_core.report.page import comparison_page

pytestmark = pytest.mark.filterwarnings("ignore:Glyph .* missing from font")

ARMS = {"original": 1.0, "y" * 63: 1.4, "control": 1.5, "synthetic": 1.2, "combined": 1.55, "targeted-mi-0": 1.1}
A4_WIDTH = 688
"""CSS pixels between margins of 14 mm."""

OUTSIDE = """[...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width > 0 && !e.closest('.wide') && !e.closest('figure') && box.right > innerWidth + 1;
}).map(e => e.tagName + ' ' + e.className).join(', ')"""


@pytest.fixture(scope="module")
def path(judged, everything, hostile, tmp_path_factory):
    """A page with all its sections, and long and hostile names."""
    c = judged(ARMS, tuple(list(ARMS)[:3]), names=hostile)
    page = tmp_path_factory.mktemp("page") / "comparison.html"
    page.write_text(comparison_page(c, **everything(c)), encoding="utf-8")
    return page


@pytest.mark.parametrize("width", [400, 1200])
def test_a_screen_never_scrolls_sideways(browser, path, width):
    browser.show(path, width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(OUTSIDE) == ""


def test_wide_figures_and_tables_scroll_in_their_own_box_on_a_phone(browser, path):
    browser.show(path, 400)
    assert browser.evaluate("document.querySelector('#arms + figure').scrollWidth > 400")
    assert browser.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


def test_every_entry_of_the_contents_leads_somewhere(browser, path):
    browser.show(path, 1200)
    missing = "[...document.querySelectorAll('nav a')].filter(a => !document.getElementById(a.hash.slice(1))).length"
    assert browser.evaluate("document.querySelectorAll('nav a').length") == 17
    assert browser.evaluate(missing) == 0


def test_nothing_runs_and_nothing_is_refused(browser, path):
    browser.show(path, 1200)
    assert browser.evaluate("document.scripts.length") == 0
    assert (
        browser.evaluate("performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length")
        == 0
    )


def test_on_paper_nothing_is_wider_than_the_page(browser, path):
    browser.show(path, A4_WIDTH, media="print")
    assert browser.evaluate("document.documentElement.scrollWidth") <= A4_WIDTH
    wider = "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
    assert browser.evaluate(f"{wider}.map(e => e.tagName + ' ' + e.textContent.slice(0, 40)).join(', ')") == ""
    assert browser.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    taller = "[...document.images].filter(i => i.getBoundingClientRect().height > 850).length"
    assert browser.evaluate(taller) == 0


def test_every_page_of_the_pdf_is_as_wide_as_the_paper(browser, path):
    browser.show(path, A4_WIDTH)
    browser.call("Emulation.setEmulatedMedia", media="")
    boxes = re.findall(rb"/MediaBox \[([^\]]*)\]", browser.pdf(8.27, 11.69))
    assert len(boxes) >= 4
    for box in boxes:
        left, bottom, right, top = map(float, box.split())
        assert (right - left, top - bottom) == pytest.approx((595, 842), abs=2)


def test_a_dark_screen_has_a_dark_page_and_sheets_as_they_are(browser, path):
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.show(path, 1200)
    browser.call("Emulation.setEmulatedMedia", media="screen", features=dark)
    try:
        assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(26, 26, 26)"
        style = "getComputedStyle(document.querySelector('{}')).filter"
        assert browser.evaluate(style.format("figure.drawn img")) == "invert(0.9) hue-rotate(180deg)"
        assert browser.evaluate(style.format("figure:not(.drawn) img")) == "none"
    finally:
        browser.call("Emulation.setEmulatedMedia", media="", features=[])
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_the_first_screen_says_what_to_do(browser, path):
    browser.show(path, 1200)
    assert browser.evaluate("document.querySelector('h2.now').textContent") == "What to do now"
    assert browser.evaluate("document.querySelector('h2.now + ul li').getBoundingClientRect().bottom < 700")
