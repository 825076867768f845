"""A made-up comparison with names that mean harm, all that a page can show of it, and image sets to draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from synaug_core.config import Config, EvaluationConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.evaluate.comparison import compare
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.reliability import reliability
from synaug_core.evaluate.results import Comparison
from synaug_core.probes.base import Measurement
from synaug_core.probes.explanation.probe import ExplanationProbe
from synaug_core.probes.explanation.report import Explanation, MapChange
from synaug_core.probes.robustness.curves import Curve, Point, Robustness
from synaug_core.probes.robustness.probe import RobustnessProbe
from synaug_core.quality.report import ClassQuality, Figures, QualityReport
from synaug_core.report.course import course


@pytest.fixture(scope="session")
def images_of(hostile: tuple[str, ...]) -> Callable[..., ImageSet]:
    """`images_of(classes, channels=..., size=...)`: one image of class 0, two of class 1, none of the last."""

    def make(classes: int, channels: int = 3, size: int = 16) -> ImageSet:
        labels = torch.tensor([c for c in range(classes - 1) for _ in range(c + 1)], dtype=torch.int64)
        stream = torch.Generator().manual_seed(classes)
        images = torch.randint(0, 256, (len(labels), channels, size, size), generator=stream, dtype=torch.uint8)
        names = (hostile + tuple(f"class {i}" for i in range(classes)))[:classes]
        each = tuple(map(str, range(len(labels))))
        return ImageSet(images, labels, names, each, each, ("{}",) * len(labels))

    return make


@pytest.fixture(scope="session")
def judged() -> Callable[..., Comparison]:
    """`judged(skills, controls, ...)`: arms of given skill on three classes, with reliability; `folds` for folds."""

    def make(
        skills: dict[str, float],
        controls: tuple[str, ...],
        reps: int = 6,
        folds: int | None = None,
        names: tuple[str, ...] = ("rare", "middle", "common"),
        each: int = 40,
    ) -> Comparison:
        rng = np.random.default_rng(7)
        labels = np.tile(np.arange(len(names)), each).astype(np.int64)

        def one(skill: float, rows: np.ndarray) -> Predictions:
            z = rng.normal(0, 1, (len(rows), len(names)))
            z[np.arange(len(rows)), labels[rows]] += skill
            p = np.exp(z)
            return Predictions(tuple(map(str, rows)), labels[rows], p / p.sum(1, keepdims=True), names)

        parts = [np.arange(len(labels))]
        if folds:
            parts = [np.flatnonzero(np.arange(len(labels)) // len(names) % folds == f) for f in range(folds)]
        test = {arm: [one(skill, rows) for _ in range(reps) for rows in parts] for arm, skill in skills.items()}
        seen = {arm: [one(skills[arm], np.arange(min(45, len(labels)))) for _ in found] for arm, found in test.items()}
        c = compare(
            test,
            {arm: [skills[arm] / 10] for arm in skills},
            controls=controls,
            train_counts={name: 10 * i + 10 for i, name in enumerate(names)},
            config=EvaluationConfig(resamples=100),
            seed=0,
            folds=folds,
        )
        asked: dict[str, Any] = {
            "precision": 0.7,
            "confidence": 0.95,
            "resamples": 30,
            "seed": 0,
            "rarest": c.rarest_class,
        }
        return c.model_copy(update={"reliability": {a: reliability(test[a], seen[a], **asked) for a in test}})

    return make


@pytest.fixture(scope="session")
def everything() -> Callable[[Comparison], dict[str, Any]]:
    """`everything(comparison)`: all that `comparison_page` takes beside it; texts try to break out of the page."""

    def make(c: Comparison) -> dict[str, Any]:
        arms = list(c.arms)
        far = MapChange(correlation=0.42, overlap=0.5, n=12)
        figures = Figures(n=20, matched=10, kid=0.05, kid_null_n=5, kid_null_mean=0.001, kid_null_std=0.01, kid_z=4.8)
        explanation = Explanation(
            layer="blocks.<i>3</i>", reference=arms[0], change=dict.fromkeys(arms[1:], far), noise=far
        )
        cams = Image.new("RGB", (1100, 700), "#ccaa88")
        of_class = ClassQuality(train=20, held_out=10, synthetic_count=30, synthetic=figures, reals=figures)
        config = Config(data={"split": {"folds": c.folds}})
        return {
            "name": "wbc <script>alert(1)</script>",
            "dataset": {"counts": {"val": dict.fromkeys(c.classes, 3)}, "notes": ["<img src=x onerror=alert(1)>"]},
            "sheets": {"Training images": Image.new("RGB", (1400, 900), "#88aacc")},
            "config": config.model_dump(mode="json"),
            "versions": {"torch": "2.9 <b>"},
            "probes": [
                RobustnessProbe().report_section(
                    [_falling(0.1 + 0.1 * i, c, arm) for i, arm in enumerate(arms) for _ in range(2)], c
                ),
                ExplanationProbe().report_section([Measurement(explanation, pictures={"cams.png": cams})], c),
            ],
            "quality": {", ".join(arms[-2:]): QualityReport(classes={c.classes[0]: of_class}, all_classes=c.classes)},
            "notes": ["vae, <svg onload=alert(1)>: 3 of 9 images passed the filters"],
            "course": course(config, c),
            "links": {"MLflow run": "http://127.0.0.1:5000/#/x", "not one": "javascript:alert(1)"},
        }

    return make


def _falling(pace: float, c: Comparison, arm: str) -> Measurement[Robustness]:
    points = []
    for i in range(6):
        share = max(0.0, 0.9 - pace * i / 5)
        points.append(Point(strength=float(i), accuracy=share, balanced_accuracy=share))
    kinds = {"noise": "perturbation", "blur": "perturbation", "pgd": "attack"}
    curves = tuple(Curve(name=name, kind=kind, points=tuple(points)) for name, kind in kinds.items())
    one = Robustness(clean=points[0], curves=curves, images=30, classes=dict.fromkeys(c.classes, 10))
    return Measurement(one, arm)


@pytest.fixture(scope="session")
def browser(chromium: Callable[[], Any]) -> Any:
    """One page of a headless Chromium."""
    return chromium()
