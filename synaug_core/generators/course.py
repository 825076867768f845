"""How far a training with images held out has come, and when it is to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from synaug_core.config import GeneratorConfig
from synaug_core.generators.fit_report import CurvePoint, Status
from synaug_core.generators.weights import Weights

__all__ = ["Course"]


@dataclass
class Course:
    """How far a model has come."""

    status: Status | None = None
    """None while it goes on."""
    steps: int = 0
    best_step: int = 0
    best_loss: float = math.inf
    stale: int = 0
    """Judged evaluations since the best one."""
    curves: list[CurvePoint] = field(default_factory=list)
    weights: Weights = field(default_factory=dict)
    """Those kept."""
    seconds: float = 0.0
    """Wall time, once the training is through."""

    def state(self) -> dict[str, Any]:
        """As numbers, texts and tensors."""
        return vars(self) | {"curves": [point.model_dump() for point in self.curves]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Course:
        """What `state` told."""
        return cls(**(dict(state) | {"curves": [CurvePoint(**point) for point in state["curves"]]}))

    def judge(self, point: CurvePoint, loss: float, config: GeneratorConfig, *, judged: bool) -> bool:
        """Write an evaluation down; True where the present weights are worth keeping.

        Args:
            point: the evaluation.
            loss: of the images examined.
            config: its `steps` and `patience` end the training.
            judged: False where `loss` cannot tell good weights from bad: the latest are then the best.
        """
        self.steps = point.step
        self.curves.append(point)
        better = not judged or loss < self.best_loss
        if better:
            self.best_step, self.stale = self.steps, 0
            self.best_loss = loss if judged else math.inf
        else:
            self.stale += 1
        if self.steps >= config.steps:
            self.status = "finished"
        elif self.stale >= config.patience:
            self.status = "early stop"
        return better
