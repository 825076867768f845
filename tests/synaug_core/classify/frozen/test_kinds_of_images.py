"""From files of unusual shapes and colours to predictions of a frozen network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synaug_core.classify.training import TrainingJob, train
from synaug_core.config import STANDARD_ARMS, ClassifierConfig, DataConfig
from synaug_core.config.data import PRETRAINED_PIXELS
from synaug_core.data.prepare import prepare


def _draw(folder: Path, width: int, height: int, mode: str) -> None:
    """Stripes across in one class and down in the other, of any brightness, at the ends of the image."""
    rng = np.random.default_rng(0)
    for name, count in (("across", 16), ("down", 12)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            noise = rng.integers(0, 60, (height, width, 3))
            lines = np.arange(height)[:, None] if name == "across" else np.arange(width)[None]
            stripes = (lines // (max(width, height) // 12) % 2) * int(rng.integers(90, 180))
            pixels = (noise + np.broadcast_to(stripes, (height, width))[..., None]).astype(np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{number}.png")


@pytest.mark.parametrize(
    ("width", "height", "mode", "stored", "channels"),
    [(28, 28, "RGB", 28, 3), (96, 96, "L", 96, 1), (1000, 300, "RGB", PRETRAINED_PIXELS, 3)],
    ids=["28 px", "grey", "1000 x 300"],
)
def test_a_frozen_network_takes_it(
    tmp_path: Path, width: int, height: int, mode: str, stored: int, channels: int
) -> None:
    _draw(tmp_path / "images", width, height, mode)
    data = prepare(DataConfig(source=str(tmp_path / "images")), seed=0, most_pixels=PRETRAINED_PIXELS)
    assert (data.train.size, data.train.channels) == (stored, channels)
    config = ClassifierConfig.model_validate({"training": "frozen", "input_size": 64, "views": 1})
    job = TrainingJob(config, STANDARD_ARMS["control"], data.train, data.val, init_seed=1, batch_seed=2)
    classifier = train(job)
    assert (classifier.predict(data.test).argmax(1) == data.test.labels.numpy()).mean() > 0.8
