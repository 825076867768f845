"""About how long a retraining takes: seconds of each stage, for a user who has not started it yet.

The figures are coarse, from runs on two cores of an AMD EPYC without GPU (handwritten digits, BreastMNIST, blood cells,
Caltech-101). While a run goes on, its own pace corrects them (`synaug/cli/live.py`).
"""

import os
from collections.abc import Mapping

from synaug_core.classify.budget import resolve_steps
from synaug_core.config import ClassifierConfig, Config
from synaug_core.config.selection import CANDIDATES
from synaug_core.data.overview import Overview

__all__ = ["describe_duration", "estimate_seconds"]

_CORES = 2
"""Of the machine that the figures are from."""
_LOW, _HIGH = 0.6, 1.6
"""Between these shares of the estimate most runs ended."""
_GENERATOR_PIXELS = 64
_CHOSEN = 3.0
"""A classifier that is chosen may take so many times as long as the cheapest candidate."""
_SHARED_OUT = ("selection", "generator", "synthesis", "picking", "tuning", "training", "quality")
"""Stages that more cores make shorter."""


def estimate_seconds(config: Config, overview: Overview, cores: int | None = None) -> dict[str, float]:
    """Stage -> about how many seconds of wall time it takes on a CPU, in the order of a run; nothing found done.

    Args:
        config: what is done.
        overview: of the images that it is done with.
        cores: that steps can be spread over; None: those that this process may use.
    """
    images, classes = sum(overview.training.values()), len(overview.training)
    balanced = max(overview.training.values()) * classes
    scale = min(overview.image_size, _GENERATOR_PIXELS) / _GENERATOR_PIXELS
    arms, divisions = len(config.arms), 1
    if config.data.split.division_word is not None:
        divisions = config.repetitions * (config.data.split.folds or 1)
    trainings = arms * max(divisions, config.repetitions)
    candidates = config.selection.candidates
    is_open = not config.classifier.is_named
    one = _training_seconds(config, overview, balanced)
    synthetic = [arm for arm in config.arms if arm.has_synthetic_images]
    picked = sum(len(arm.candidates) for arm in config.arms)
    is_frozen = is_open or config.classifier.training != "scratch"
    related = 0.02 if config.data.duplicates.related == "features" else 2 * overview.seconds_per_image
    attacked = config.robustness.enabled is True or (config.robustness.enabled == "auto" and not is_frozen)
    vae = 0.015 * classes if config.generator.kind == "vae" else 0.15
    seconds = {
        "start": 25.0,
        "dataset": 6.0 + related * overview.images,
        "selection": 8 * one if is_open and (candidates is None or len(candidates) > 1) else 0.0,
        "generator": config.generator.steps * vae * scale**2 * divisions if synthetic else 0.0,
        "synthesis": 7.0 * classes * scale * divisions if synthetic else 0.0,
        "picking": picked * one * divisions,
        "tuning": config.tuning.trials * one * divisions,
        "training": trainings * one,
        "quality": 5.0 + len(synthetic) * one if synthetic and config.quality.enabled else 0.0,
        "robustness": arms * config.robustness.repetitions * (overview.image_size / 16) ** 2 / 4 * attacked,
        "comparison": 6.0 + images / 1000,
        "explanation": arms * (3.0 if is_frozen else 0.3) * (config.explanation.enabled is not False),
        "report": 10.0 + classes / 3,
        "registration": 2.0,
    }
    if divisions > 1:  # what a division needs is made beside the trainings of the one before
        seconds["training"] += sum(seconds.pop(stage) for stage in ("generator", "synthesis", "picking", "tuning"))
    spread = _CORES / _workers(config, cores)
    return {stage: value * (spread if stage in _SHARED_OUT else 1.0) for stage, value in seconds.items() if value}


def describe_duration(seconds: Mapping[str, float]) -> str:
    """A sentence on the whole, from what `estimate_seconds` gives."""
    total = sum(seconds.values())
    longest = max(seconds, key=lambda stage: seconds[stage])
    low, high = _rounded(total * _LOW), _rounded(total * _HIGH)
    unit, scale = ("hours", 60) if low >= 120 else ("minutes", 1)
    return (
        f"about {max(1, round(low / scale))} to {max(2, round(high / scale))} {unit} on this machine's CPU, most of it "
        f"{longest}; less on a GPU, and for what is computed already."
    )


def _training_seconds(config: Config, overview: Overview, balanced: int) -> float:
    """Of one training, where two run side by side."""
    classifier, candidates, longer = config.classifier, config.selection.candidates, 1.0
    if not classifier.is_named:
        classifier = ClassifierConfig(training="frozen")
        if candidates is not None and len(candidates) == 1:
            classifier = classifier.model_copy(update={"views": CANDIDATES[candidates[0]].settings.get("views", 4)})
        else:
            longer = _CHOSEN
    if classifier.training == "frozen":
        return longer * (1.0 + 0.0015 * classifier.views * balanced)
    steps = resolve_steps(classifier, config.arms, overview.training).steps
    size = classifier.input_size or overview.image_size
    is_small = classifier.backbone == "small_cnn"
    work = float(steps) * classifier.batch_size * size**2 * (classifier.width if is_small else 240)
    return 1.0 + 3.5e-8 * work


def _workers(config: Config, cores: int | None) -> int:
    if config.compute.workers is not None:
        return config.compute.workers
    if cores is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // config.compute.threads)


def _rounded(seconds: float) -> int:
    """Minutes, to two digits at most."""
    minutes = seconds / 60
    return round(minutes) if minutes < 10 else 5 * round(minutes / 5)
