"""The best arm's model into the registry, and through the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synaug_core import digests
from synaug_core.config import EvaluationConfig, PromotionConfig
from synaug_core.refs import ClassifierRef, ComparisonRef, DatasetRef, RegisteredRef, RunRef, identity
from synaug_core.services.settings import settings
from tasks.step import action

if TYPE_CHECKING:
    from synaug_core.evaluate.predictions import Predictions
    from synaug_core.services.registry import ModelVersion

__all__ = ["register_best"]
