"""What a retraining comes to, for people and for scripts."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from synaug_core.evaluate.comparison import Comparison

__all__ = ["DatasetFacts", "ModelFacts", "Outcome"]


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True)


class DatasetFacts(_Facts):
    """The images that went in."""

    name: str
    digest: str
    classes: tuple[str, ...]
    train: dict[str, int]
    test: dict[str, int]
    rejected: int


class ModelFacts(_Facts):
    """The registered model."""

    name: str
    version: str
    alias: Literal["champion", "challenger"]


class Outcome(_Facts):
    """The result of one retraining; its JSON is what `synaug run --json` writes."""

    run_id: str
    tracking_uri: str
    experiment: str
    dataset: DatasetFacts
    arms: dict[str, dict[str, dict[str, float]]]
    """arm -> metric -> mean, low, high"""
    best_arm: str
    verdict: Literal["gain", "no gain shown"]
    sentence: str
    model: ModelFacts | None
    promotion: str | None
    """Why the model became champion, or why not."""
    steps: int
    cached_steps: int
    seconds: dict[str, float]
    comparison_page: str | None
    comparison: Comparison | None = Field(default=None, exclude=True)
    """The whole comparison, for callers in the same process."""
