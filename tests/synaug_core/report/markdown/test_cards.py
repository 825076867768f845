"""Cards: their front matter is what Hugging Face reads, and it says what the report says."""

from typing import Any

import pytest
import yaml

from synaug_core.report.markdown.cards import data_card, model_card

DATASET: dict[str, Any] = {
    "classes": ["rare", "middle", "common"],
    "image_size": 28,
    "channels": 1,
    "counts": {
        "train": {"rare": 10, "middle": 20, "common": 30},
        "val": {"rare": 2, "middle": 3, "common": 4},
        "test": {"rare": 40, "middle": 40, "common": 40},
    },
    "preprocessing": {"fit": "pad"},
    "rejected": [{"path": "x", "reason": "truncated"}],
    "notes": ["2 images are equal to another, in 1 group.", "<b>: check"],
}


def _parts(card: str) -> tuple[dict[str, Any], str]:
    opening, front, text = card.split("---\n", 2)
    assert opening == ""
    found: dict[str, Any] = yaml.safe_load(front)
    return found, text


@pytest.mark.parametrize(("file_format", "library", "use"), [
    ("onnx", "onnx", 'onnxruntime.InferenceSession("model.onnx")'),
    ("torchscript", "pytorch", 'torch.jit.load("model.pt")'),
    ("", "synaug", 'synaug.load_model("model")'),
])  # fmt: skip
def test_a_model_card(judged, file_format, library, use):
    c = judged({"original": 1.0, "control": 1.6, "combined": 1.5}, ("original", "control"))
    kinds = {"name": "w: |x", "dataset": DATASET, "channels": 1, "size": 28, "file_format": file_format}
    front, text = _parts(model_card(c, arm="control", model="synaug-x version 1.", **kinds))
    assert (front["license"], front["pipeline_tag"], front["library_name"]) == (
        "unknown", "image-classification", library,
    )  # fmt: skip
    [entry] = front["model-index"]
    [result] = entry["results"]
    assert (entry["name"], result["dataset"]["name"]) == ("synaug-w: |x", "w: |x")
    values = {m["type"]: m["value"] for m in result["metrics"]}
    assert values["balanced_accuracy"] == round(c.arms["control"].metrics["balanced_accuracy"].mean, 4)
    assert "class/rare/recall" in values
    assert use in text
    assert "28 px squares in grey, made so by `pad`. Probabilities are in this order: rare, middle, common." in text
    assert "| rare | 10 | 40 |" in text
    assert "All figures are about these test images" in text
    assert "**What to do now**" in text


def test_a_data_card():
    folders = {"train": "images/train", "val": "images/val"}
    front, text = _parts(data_card(DATASET, name="wbc", folders=folders, synthetic=["vae: 3 of 9 images"]))
    assert front["size_categories"] == ["n<1K"]
    assert front["configs"] == [{
        "config_name": "default",
        "data_files": [
            {"split": "train", "path": "images/train/*/*.png"},
            {"split": "validation", "path": "images/val/*/*.png"},
        ],
    }]  # fmt: skip
    assert "| class | training | validation | test |" in text
    assert "| rare | 10 | 2 | 40 |" in text
    for said in ("Left out: 1 file that could not be used.", "\\<b\\>: check", "vae: 3 of 9 images"):
        assert said in text


def test_a_data_card_of_many_images_without_files():
    many = DATASET | {"counts": {"train": {"rare": 10, "middle": 20, "common": 3_000_000}}, "notes": [], "rejected": []}
    front, text = _parts(data_card(many, name="wbc", folders={}, synthetic=[]))
    assert front["size_categories"] == ["n>1M"]
    assert "configs" not in front
    assert "Synthetic images" not in text
    assert "data check" not in text
