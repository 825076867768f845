"""The contact sheet, the funnel and the picture of the alpha sweep."""

import base64
import io
import json
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image

from synaug_core.report.contact import contact_page, contact_sheet
from synaug_core.report.figures.synthesis import alpha_figure, funnel_figure
from synaug_core.report.style import png
from synaug_core.synthesis.alpha_sweep import AlphaSweep, Appearance
from tests.synaug_core.report.reading import Page

pytestmark = pytest.mark.filterwarnings("ignore:Glyph .* missing from font")


def read(html):
    page = Page(html)
    assert page.events == []
    return page


@pytest.fixture(scope="session")
def pair(images_of):
    """Real images, and as many synthetic ones in another order of pixels, each with two parents."""

    def make(classes, size=16, channels=3):
        train = images_of(classes, channels, size)
        ids = tuple(f"synthetic/{i}" for i in range(len(train)))
        told = [json.dumps({"strategy": "x", "parents": [p, "<b>&"], "alpha": 0.25}) for p in train.ids]
        return train, replace(train, images=255 - train.images, ids=ids, provenance=tuple(told))

    return make


def pixels(address):
    data = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return torch.frombuffer(bytearray(Image.open(io.BytesIO(data)).convert("RGB").tobytes()), dtype=torch.uint8)


def flat(image):
    return image.permute(1, 2, 0).flatten()


def test_each_synthetic_image_stands_above_its_nearest(pair):
    train, made = pair(4)
    near = torch.tensor([5, 4, 3, 2, 1, 0])
    scores = {"label_probability": [0.5, None, float("nan"), 0.125, 1.0, 0.0]}
    page = read(contact_page(train, made, near, scores, heading="cells", note="by <a model>"))
    shown = [i for i in page.images if i["alt"].startswith(("synthetic", "its"))]
    assert len(shown) == 12
    for k in range(6):
        assert torch.equal(pixels(shown[2 * k]["src"]), flat(made.images[k]))
        assert torch.equal(pixels(shown[2 * k + 1]["src"]), flat(train.images[near[k]]))
    reals = [i for i in page.images if i["alt"].startswith("real")]
    assert [i["title"] for i in reals] == list(train.ids)
    assert "script" not in page.tags
    assert page.text.count("probability of its class") == 4
    assert "0.125" in page.text
    assert "From 0 and <b>&" in page.text
    assert "Nearest: 3" in page.text
    assert "Nearest: 3, a parent" not in page.text
    assert "by <a model>" in page.text


def test_an_image_without_a_nearest_stands_alone(pair):
    train, made = pair(3)
    page = read(contact_page(train, made, torch.tensor([2, -1, 0])))
    assert [i["alt"] for i in page.images].count("its nearest real image") == 2
    contact_sheet(train, made, torch.tensor([2, -1, 0]))
    page = read(contact_page(train, made))
    assert "most like it" not in page.text
    assert len(page.images) == 6


def test_a_parent_is_called_one(pair):
    train, made = pair(2)
    assert "Nearest: 0, a parent" in read(contact_page(train, made, torch.tensor([0]))).text


@pytest.mark.parametrize("classes", [2, 5, 37])
def test_pages_of_any_size_hold_together(pair, hostile, classes):
    train, made = pair(classes, size=28, channels=1)
    html = contact_page(train, made, torch.zeros(len(made), dtype=torch.int64), heading=hostile[0])
    page = read(html)
    assert not re.search(r"(?:src|href)=\"(?!data:image/png;base64,)", html)
    assert len([t for t in page.tags if t == "h2"]) == classes - 1
    assert page.text.count(", 24 shown") == 2 * max(0, classes - 1 - 24)
    sheet = contact_sheet(train, made, torch.zeros(len(made), dtype=torch.int64))
    assert sheet.width < 1600
    assert contact_page(train, made) == contact_page(train, made)


def test_large_images_are_reduced_and_none_is_said(pair):
    train, made = pair(2, size=200)
    page = read(contact_page(train, made))
    assert len(pixels(page.images[0]["src"])) == 128 * 128 * 3
    nothing = made.take([])
    assert "There are no synthetic images" in read(contact_page(train, nothing)).text
    contact_sheet(train, nothing)


def test_wrong_lengths_are_refused(pair):
    train, made = pair(3)
    with pytest.raises(ValueError, match="nearest: one position for each of 3"):
        contact_page(train, made, torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="3 values of odd expected, got 1"):
        contact_page(train, made, None, {"odd": [1.0]})
    with pytest.raises(ValueError, match="nearest: one position for each of 3"):
        contact_sheet(train, made, torch.zeros(4, dtype=torch.int64))


def funnel(classes, hostile):
    names = (hostile + tuple(f"class {i}" for i in range(classes)))[:classes]
    some = {"wanted": 40, "made": 100, "kept": 40, "dropped": {"blank": 10, "unlikely label": 45}, "surplus": 5}
    none = {"wanted": 30, "made": 120, "kept": 0, "dropped": {"near-duplicate": 120}, "filled": False}
    empty = {"wanted": 0, "made": 0, "kept": 0, "dropped": {}, "filled": True}
    return {name: ({**some, "filled": True}, none, empty)[i % 3] for i, name in enumerate(names)}


@pytest.mark.parametrize("classes", [1, 2, 5, 37])
def test_funnel(classes, hostile):
    figure = funnel_figure(funnel(classes, hostile), "arm $x$")
    png(figure, 40)
    words = [t.get_text() for t in figure.axes[0].texts]
    assert words[0] == "40 of 40 wanted, 100 made"
    assert sum("not filled" in w for w in words) == len(range(1, classes, 3))
    bars = sum(patch.get_width() for patch in figure.axes[0].patches)
    assert bars == sum(of["made"] for of in funnel(classes, hostile).values())


def test_funnel_of_nothing():
    png(funnel_figure({"a": {"wanted": 0, "made": 0, "kept": 0, "dropped": {}, "filled": True}}), 40)


@pytest.mark.parametrize(("classes", "channels"), [(1, 1), (5, 3)])
def test_alpha_figure(classes, channels, hostile):
    one, gap = Appearance(0.8, 0.9, 0.5, 0.75), Appearance(None, None, None, None)
    images = torch.zeros(3, channels, 8, 8, dtype=torch.uint8)
    sweeps = [
        AlphaSweep(hostile[i], 9, 24, {0.0: one, 0.5: gap, 1.0: one}, {2: one, 5: one}, gap, images[:2], images)
        for i in range(classes)
    ]
    figure = alpha_figure(sweeps)
    png(figure, 40)
    curves = figure.axes[-8:]
    assert [len(axes.lines) for axes in curves] == [classes + 1] * 3 + [classes] + [classes + 1] * 3 + [classes]
