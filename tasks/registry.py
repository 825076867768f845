"""The best arm's model into the registry, and through the gate."""

from __future__ import annotations

from typing import Literal

from synaug_core import digests
from synaug_core.config import ComputeConfig, EvaluationConfig, PromotionConfig
from synaug_core.refs import ComparisonRef, DatasetRef, RegisteredRef, RunRef, identity
from synaug_core.services.settings import settings
from tasks.promotion import decision_tags, example_image, figures, measure
from tasks.slots import device_slot
from tasks.step import action

__all__ = ["register_best"]

_ALIASES: tuple[Literal["champion", "challenger", "previous"], ...] = ("champion", "challenger", "previous")
_DECIDED = "synaug.decision"
_TRIES = 3


@action
def register_best(
    dataset: DatasetRef,
    comparison: ComparisonRef,
    promotion: PromotionConfig,
    evaluation: EvaluationConfig,
    seed: int,
    compute: ComputeConfig,
    parent: RunRef,
) -> RegisteredRef:
    """Register the best arm's model as challenger, measure it against the champion, and let the gate decide.

    A model that was decided on before stays as the gate, or a person since, left it. Where another version becomes
    champion meanwhile, the model is measured against that one.

    Raises:
        ChampionChangedError: the champion changed each time that this was done.
    """
    from synaug_core.evaluate.promotion import gate
    from synaug_core.report.promotion import promotion_page
    from synaug_core.seeds import derive
    from synaug_core.services import registry
    from synaug_core.services.artifacts import fetch
    from synaug_core.services.serving import log_model
    from synaug_core.services.tracking import recording, run_ref
    from tasks.loading import load_images, load_predictions

    name = f"synaug-{dataset.name}"
    key = digests.of_value(identity([dataset, comparison, promotion, evaluation]))
    if (decided := _decided(name, key)) is not None:
        return decided
    best, test = comparison.best, load_images(dataset.test)
    with (
        recording(
            settings(), experiment=parent.experiment, key=key, stage="promotion", name="promotion", parent=parent
        ) as recorder,
        device_slot(compute) as device,
    ):
        owner = run_ref(settings(), best.run_id)
        model = log_model(owner, fetch(best.classifier), example_image(test), best.classifier.classes, fit=dataset.fit)
        for attempt in range(_TRIES):
            champion = registry.current(settings(), name, "champion")
            if champion is not None and champion.tags.get("synaug.key") == key:
                champion = registry.current(settings(), name, "previous")  # a kill came between promotion and its tags
            measured = measure(champion, dataset, test, device)
            decision = gate(
                load_predictions(best.predictions),
                measured.predictions,
                train_counts=dataset.train.counts,
                config=promotion,
                confidence=evaluation.confidence,
                resamples=evaluation.resamples,
                seed=derive(seed, "promotion"),
                obstacle=measured.obstacle,
                seen=measured.seen,
            )
            version = registry.register(
                settings(), name, model_uri=model, run=owner, key=key, tags=_origin(best.arm, parent)
            )
            if not decision.promoted:
                break
            expected = None if champion is None else champion.version
            try:
                registry.promote(settings(), name, version.version, why=decision.reason, expected=expected)
                break
            except registry.ChampionChangedError:  # the decision was about another
                if attempt + 1 == _TRIES:
                    raise
        recorder.metrics(figures(decision))
        recorder.tags({"synaug.model": name, "synaug.version": version.version, _DECIDED: decision.reason})
        recorder.json(decision.model_dump(mode="json"), "decision.json")
        recorder.text(promotion_page(decision, name=name, version=version.version), "promotion.html")
        recorder.flush()
        # Last: these tags say that all of the above is done.
        registry.annotate(settings(), name, version.version, decision_tags(decision))
    return RegisteredRef(
        name=name,
        version=version.version,
        alias="champion" if decision.promoted else "challenger",
        reason=decision.reason,
    )


def _decided(name: str, key: str) -> RegisteredRef | None:
    from synaug_core.services import registry

    for version in registry.versions(settings(), name):
        if version.tags.get("synaug.key") == key and _DECIDED in version.tags:
            return RegisteredRef(
                name=name,
                version=version.version,
                alias=next((alias for alias in _ALIASES if alias in version.aliases), None),
                reason=version.tags[_DECIDED],
            )
    return None


def _origin(arm: str, parent: RunRef) -> dict[str, str]:
    return {**parent.tags, "synaug.arm": arm, "synaug.retraining": parent.run_id}
