"""Classifiers that were never trained, pictures for them, and what they say of these."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from synaug_core.classify.model import build
from synaug_core.classify.trained import History, TrainedClassifier
from synaug_core.config import ClassifierConfig
from synaug_core.data.decode import load_square
from synaug_core.data.scaling import Preprocessing


def saved_classifier(folder: Path, classes: tuple[str, ...], seed: int = 1) -> Path:
    """A small classifier of 16 x 16 colour images, in `folder`; those of two seeds say different things."""
    config = ClassifierConfig(width=4)
    model = build(config, channels=3, size=16, classes=classes, seed=seed, mean=(0.5,) * 3, std=(0.2,) * 3)
    history = History(evaluations=(), best_step=0, stopped_at=0, ended="all steps")
    TrainedClassifier(model, config, classes, 3, 16, history).save(folder)
    return folder


def picture(seed: int, size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    """An image file of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def picture_files(folder: Path, count: int) -> list[Path]:
    """Image files of noise, in a folder."""
    draw = np.random.default_rng(0)
    files = [folder / f"picture {i}.png" for i in range(count)]
    for file in files:
        Image.fromarray(draw.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(file)
    return files


def expected(folder: Path, *images: bytes, fit: Any = "pad") -> Any:
    """The probabilities that the classifier in `folder` gives to image files."""
    pixels = np.stack([load_square(data, 16, 3, Preprocessing(fit=fit)) for data in images])
    return TrainedClassifier.load(folder).predict(torch.from_numpy(pixels))
