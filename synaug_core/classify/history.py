"""What happened in a training."""

from __future__ import annotations

from typing import Literal

from synaug_core.frozen import Frozen

__all__ = ["Ending", "Evaluation", "History"]

Ending = Literal["all steps", "early stop", "no validation images"]
"""Why a training was over. `no validation images`: all steps were made and the last weights were kept."""


class Evaluation(Frozen):
    """One look at a classifier in training."""

    step: int
    train_loss: float
    """Mean over the steps since the evaluation before, with label smoothing and class weights."""
    val_loss: float | None = None
    """Mean cross-entropy in nats; None without validation images."""
    val_balanced_accuracy: float | None = None
    val_macro_auc: float | None = None
    """None also where no class has images inside and outside."""


class History(Frozen):
    """The course of a training."""

    evaluations: tuple[Evaluation, ...]
    best_step: int
    """The step whose weights were kept."""
    stopped_at: int
    """Optimiser steps made."""
    ended: Ending
    seconds: float = 0.0
    """Time of the part after the last resume; not stored, so that equal trainings have equal files."""

    @property
    def best_score(self) -> float | None:
        """Validation balanced accuracy of the weights that were kept."""
        return next((e.val_balanced_accuracy for e in self.evaluations if e.step == self.best_step), None)
