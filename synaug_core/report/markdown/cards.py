"""A model card and a data card with the front matter that Hugging Face reads, from what a report knows.

The licence of images is known to their owner alone: the cards say `unknown` and ask for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from synaug_core.report import sections, words
from synaug_core.report.markdown.comparison import comparison_markdown, in_markdown, table

if TYPE_CHECKING:
    from synaug_core.evaluate.results import Comparison

__all__ = ["data_card", "model_card"]

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGEST = "n>1M"
_LICENCE = "The licence of the images is not known to synaug: put it in place of `unknown` above before you share this."
_USE = {
    "onnx": """```python
import numpy as np, onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
images = np.zeros((1, {channels}, {size}, {size}), np.uint8)  # 0 to 255
[probabilities] = session.run(None, {{"images": images}})
```""",
    "torchscript": """```python
import torch

model = torch.jit.load("model.pt")
images = torch.zeros((1, {channels}, {size}, {size}), dtype=torch.uint8)  # 0 to 255
probabilities = model(images)
```""",
    "": """```python
import synaug

print(synaug.load_model("model").predict(["a.png"]))  # this folder
```""",
}


def model_card(
    comparison: Comparison,
    *,
    name: str,
    dataset: Mapping[str, Any],
    arm: str,
    model: str = "",
    channels: int,
    size: int,
    file_format: str = "",
) -> str:
    """The card of a retraining's model.

    Args:
        comparison: what was found.
        name: the data set's name.
        dataset: a DatasetReport as JSON.
        arm: whose model it is.
        model: which version was registered, and what the gate said of it.
        channels: of the images that the model takes.
        size: of these, pixels a side.
        file_format: `onnx`, `torchscript`, or empty for synaug's own files.
    """
    figures = comparison.arms[arm].metrics
    shown = {key: title for key, title in sections.columns(comparison, "page").items() if key in figures}
    metrics = [{"type": key, "name": title, "value": round(figures[key].mean, 4)} for key, title in shown.items()]
    task = {"type": "image-classification", "name": "Image Classification"}
    result = {"task": task, "dataset": {"type": "imagefolder", "name": name, "split": "test"}, "metrics": metrics}
    front = {
        "license": "unknown",
        "library_name": {"onnx": "onnx", "torchscript": "pytorch"}.get(file_format, "synaug"),
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "imbalanced", "synaug", *([file_format] if file_format else [])],
        "model-index": [{"name": f"synaug-{name}", "results": [result]}],
    }
    counts = [
        [in_markdown(c), *(words.number(n) for n in (comparison.train_counts[c], comparison.test_counts[c]))]
        for c in comparison.by_rarity
    ]
    preprocessing = dataset.get("preprocessing", {})
    parts = [
        f"# synaug-{in_markdown(name, 60)}",
        f"An image classifier of {len(comparison.classes)} classes, trained as the arm {in_markdown(arm)}. "
        f"{in_markdown(model)}",
        "## How to use it\n\n"
        + _USE[file_format].format(channels=channels, size=size)
        + f"\n\nImages are {size} px squares in {'colour' if channels == 3 else 'grey'}, made so by "
        f"`{preprocessing.get('fit', 'crop')}`. Probabilities are in this order: "
        f"{', '.join(in_markdown(c) for c in comparison.classes)}.",
        comparison_markdown(comparison).strip(),
        "## What it was trained on\n\n" + table(["class", "training images", "test images"], counts),
        "## Limits\n\n" + "\n".join(f"- {in_markdown(limit)}" for limit in sections.limits(comparison)),
        "It supports a person's judgement and does not replace it. " + _LICENCE,
    ]
    return _with_front(front, parts)


def data_card(dataset: Mapping[str, Any], *, name: str, folders: Mapping[str, str], synthetic: Sequence[str]) -> str:
    """The card of a data set.

    Args:
        dataset: a DatasetReport as JSON.
        name: the data set's name.
        folders: split -> folder of its class folders, beside the card.
        synthetic: a sentence on each set of synthetic images made from it.
    """
    counts: Mapping[str, Mapping[str, int]] = dataset["counts"]
    images = sum(sum(of_split.values()) for of_split in counts.values())
    hub_names = {"val": "validation"}
    front: dict[str, Any] = {
        "license": "unknown",
        "pretty_name": name,
        "task_categories": ["image-classification"],
        "size_categories": [next((size for limit, size in _SIZES if images < limit), _LARGEST)],
        "tags": ["imbalanced", "synaug"],
    }
    files = [{"split": hub_names.get(split, split), "path": f"{folder}/*/*.png"} for split, folder in folders.items()]
    if files:
        front["configs"] = [{"config_name": "default", "data_files": files}]
    splits = list(counts)
    rows = [[in_markdown(c), *(words.number(counts[split].get(c, 0)) for split in splits)] for c in dataset["classes"]]
    notes = [f"- {in_markdown(note)}" for note in dataset.get("notes", ())]
    left_out = [f"- {in_markdown(line)}" for line in filter(None, [sections.count_left_out(dataset)])]
    parts = [
        f"# {in_markdown(name, 60)}",
        f"{words.number(images)} images of {len(dataset['classes'])} classes, {dataset['image_size']} px squares in "
        f"{'colour' if dataset['channels'] == 3 else 'grey'}, as synaug divided them.",
        table(["class", *(words.SPLIT_NAMES.get(split, split) for split in splits)], rows),
        "## What the data check saw\n\n" + "\n".join(left_out + notes) if left_out or notes else "",
        "## Synthetic images\n\n" + "\n".join(f"- {in_markdown(line)}" for line in synthetic) if synthetic else "",
        _LICENCE,
    ]
    return _with_front(front, parts)


def _with_front(front: Mapping[str, Any], parts: Sequence[str]) -> str:
    """Front matter in YAML, of which JSON is a part, one key a line, above the text."""
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items()]
    return "\n".join(["---", *lines, "---", "", "\n\n".join(part for part in parts if part)]) + "\n"
