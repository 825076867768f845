"""The best arm's model into the registry, and through the gate."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from synaug_core import digests
from synaug_core.config import EvaluationConfig, PromotionConfig
from synaug_core.refs import ComparisonRef, DatasetRef, RegisteredRef, RunRef, identity
from synaug_core.services.settings import settings
from tasks.step import action

if TYPE_CHECKING:
    from synaug_core.data.imageset import ImageSet
    from synaug_core.evaluate.predictions import Predictions
    from synaug_core.evaluate.promotion import Decision
    from synaug_core.services.registry import ModelVersion

__all__ = ["register_best"]

_REASON = "synaug.decision"


@action
def register_best(
    dataset: DatasetRef,
    comparison: ComparisonRef,
    promotion: PromotionConfig,
    evaluation: EvaluationConfig,
    seed: int,
    parent: RunRef,
) -> RegisteredRef | None:
    """Register the best arm's model as challenger, measure it against the champion, and let the gate decide.

    A model that was decided on before stays as the gate, or a person since, left it.
    """
    from synaug_core.evaluate.promotion import gate
    from synaug_core.report.promotion import promotion_page
    from synaug_core.seeds import derive
    from synaug_core.services import registry
    from synaug_core.services.serving import log_model
    from synaug_core.services.tracking import recording, run_ref
    from tasks.loading import fetch, load_images, load_predictions

    if not promotion.enabled:
        return None
    name = f"synaug-{dataset.name}"
    key = digests.of_value(identity([dataset, comparison, promotion, evaluation]))
    if (decided := _decided(name, key)) is not None:
        return decided
    best = comparison.best
    test = load_images(dataset.test)
    with recording(
        settings(), experiment=parent.experiment, key=key, stage="promotion", name="promotion", parent=parent
    ) as recorder:
        champion = registry.current(settings(), name, "champion")
        challenger = load_predictions(best.predictions)
        decision = gate(
            challenger,
            _predictions_of(champion, test) if champion is not None else None,
            train_counts=dataset.train.counts,
            config=promotion,
            confidence=evaluation.confidence,
            resamples=evaluation.resamples,
            seed=derive(seed, "promotion"),
        )
        owner = run_ref(settings(), best.run_id)
        model_uri = log_model(owner, fetch(best.classifier), _example(test), best.classifier.classes)
        version = registry.register(settings(), name, model_uri=model_uri, run=owner, key=key, tags=_facts(parent))
        if decision.promoted:
            registry.promote(settings(), name, version.version)
        recorder.metrics(decision.metrics())
        recorder.tags({"synaug.model": name, "synaug.version": version.version, _REASON: decision.reason})
        recorder.json(decision.model_dump(mode="json"), "decision.json")
        recorder.text(promotion_page(decision, name=name, version=version.version), "promotion.html")
        # Last: its presence says that all of the above is done.
        registry.tag(settings(), name, version.version, decision_tags(decision))
    return RegisteredRef(
        name=name,
        version=version.version,
        alias="champion" if decision.promoted else "challenger",
        reason=decision.reason,
    )
