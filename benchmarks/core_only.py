"""The core calls of one retraining, in the flow's order and side by side as there, without Prefect and MLflow.

What a flow keeps in MLflow is written to a plain folder here: computing a figure or a Parquet file is core work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch

from synaug_core import devices
from synaug_core.checkpoints import Checkpoint
from synaug_core.classify import tuning, tuning_figures
from synaug_core.classify.pruning import Pruned
from synaug_core.classify.search_space import TrialSpec, Tuned, as_configured
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.classify.training import train
from synaug_core.config import ArmConfig, Config, SynthesisConfig
from synaug_core.data import parquet
from synaug_core.data.fingerprint import fingerprint
from synaug_core.data.imageset import ImageSet, concatenate
from synaug_core.data.prepare import Prepared, prepare
from synaug_core.errors import DivergenceError, UserError
from synaug_core.evaluate.comparison import Comparison, compare
from synaug_core.evaluate.metrics import scores
from synaug_core.evaluate.predictions import Predictions
from synaug_core.evaluate.promotion import gate
from synaug_core.generators import registry
from synaug_core.generators.base import Generator
from synaug_core.generators.grouping import groups
from synaug_core.quality.assess import assess
from synaug_core.quality.consistency import real_consistency
from synaug_core.quality.judge import Judges
from synaug_core.quality.neighbours import nearest_training_image
from synaug_core.quality.usefulness import usefulness
from synaug_core.report import sheets
from synaug_core.report.contact import contact_page, contact_sheet
from synaug_core.report.figures.alpha import alpha_figure
from synaug_core.report.figures.calibration import reliability_figure
from synaug_core.report.figures.confusion import arm_confusion
from synaug_core.report.figures.counts import counts_figure
from synaug_core.report.figures.forest import forest_figure
from synaug_core.report.figures.funnel import funnel_figure
from synaug_core.report.figures.generator import fit_figure
from synaug_core.report.figures.recall import recall_figure
from synaug_core.report.page import comparison_page
from synaug_core.report.promotion import promotion_page
from synaug_core.report.quality import quality_page
from synaug_core.seeds import derive
from synaug_core.synthesis.alpha_sweep import alpha_sweep
from synaug_core.synthesis.make import synthesise
from synaug_core.synthesis.plan import plan
from synaug_core.synthesis.walks import ALPHAS, walks

__all__ = ["core_only"]

P = ParamSpec("P")
R = TypeVar("R")


class _Repetition(NamedTuple):
    validation: float
    predictions: Predictions


class _Job:
    """One retraining: its configuration, its data, its folder and its threads."""

    def __init__(self, config: Config, folder: Path, workers: int) -> None:
        self.config = config
        self.folder = folder
        self.device = devices.resolve(config.compute.device)
        self.pool = ThreadPoolExecutor(workers)
        self.workers = workers
        self.data: Prepared

    def side_by_side(self, calls: Iterable[Callable[[], R]]) -> list[R]:
        def limited(call: Callable[[], R]) -> R:
            with devices.cpu_threads(self.config.compute.threads):
                return call()

        return [future.result() for future in [self.pool.submit(limited, call) for call in calls]]

    def place(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def keep(self, figure: Any, name: str) -> None:
        if hasattr(figure, "savefig"):
            figure.savefig(self.place(name), dpi=110, bbox_inches="tight")
        else:
            figure.save(self.place(name))

    def checkpoint(self, name: str) -> Checkpoint:
        return Checkpoint(self.place(f"checkpoints/{name}.pt"))


def core_only(config: Config, folder: Path, workers: int) -> Comparison:
    """Do all of it and give the comparison, which is to equal the flow's."""
    job = _Job(config, folder, workers)
    with job.pool:
        fingerprint(config.data)
        [job.data] = job.side_by_side([lambda: _prepare(job)])
        synthetic, quality = _make_images(job)
        tuned = _tune(job, synthetic)
        calls = [
            _call(_repeat, job, arm, repetition, synthetic[arm.name], tuned[arm.name])
            for repetition in range(config.repetitions)
            for arm in config.arms
        ]
        done = job.side_by_side(calls)
        for future in quality:
            future.result()
        of_arm = {arm.name: done[i :: len(config.arms)] for i, arm in enumerate(config.arms)}
        [comparison] = job.side_by_side([lambda: _compare(job, of_arm)])
        for arm in config.arms:
            job.keep(arm_confusion(comparison, arm.name), f"arms/{arm.name}/confusion.png")
        if config.promotion.enabled:
            _decide(job, comparison, of_arm)
    return comparison


def _call(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Callable[[], R]:
    return lambda: function(*args, **kwargs)


def _prepare(job: _Job) -> Prepared:
    prepared = prepare(job.config.data, seed=job.config.seed)
    splits = {"train": prepared.train, "val": prepared.val, "test": prepared.test}
    for name, images in splits.items():
        parquet.write(images, job.place(f"images/{name}.parquet"), split=name)
        if len(images):
            job.keep(sheets.preview(images), f"figures/{name}.png")
    job.keep(counts_figure({name: images.counts() for name, images in splits.items()}), "figures/counts.png")
    job.place("report.json").write_text(json.dumps(prepared.report.model_dump(mode="json")))
    return prepared


Synthetic = dict[str, ImageSet | None]


def _make_images(job: _Job) -> tuple[Synthetic, list[Future[None]]]:
    """The images of each arm, and what judges them beside the search."""
    config, counts = job.config, job.data.train.counts()
    wanted = {arm.name: arm.synthesis for arm in config.arms if arm.synthesis is not None}
    distinct = list({s.model_dump_json(): s for s in wanted.values()}.values())
    plans = [plan(counts, s.sampling_strategy, s.multiple) for s in distinct]
    classes = [name for name in job.data.train.classes if any(p.get(name, 0) > 0 for p in plans)]
    if not classes:
        return {arm.name: None for arm in config.arms}, []
    if any(s.generator != "default" or s.strategy not in ("interpolate", "prior") for s in distinct):
        raise UserError("this benchmark knows one generator and the strategies interpolate and prior")
    grouped = groups(
        {name: counts[name] for name in classes}, config.generator, device_type=job.device.type, workers=job.workers
    )
    generators = job.side_by_side([_call(_fit, job, group, number) for number, group in enumerate(grouped)])
    target, judges = _on_reals(job)
    keys = [(s, generator) for s in distinct for generator in generators]
    made = job.side_by_side([_call(_synthesise, job, s, g, judges, n) for n, (s, g) in enumerate(keys)])
    joined = {
        s.model_dump_json(): concatenate([m for m, (other, _) in zip(made, keys, strict=True) if other == s])
        for s in distinct
    }
    quality = [job.pool.submit(_assess, job, images, generators, target, judges) for images in joined.values()]
    of_arm = {arm.name: joined[arm.synthesis.model_dump_json()] if arm.synthesis else None for arm in config.arms}
    return of_arm, quality


def _fit(job: _Job, classes: tuple[str, ...], number: int) -> Generator:
    images = job.data.train
    generator = registry.create(job.config.generator, classes, images.channels, images.size)
    saved = job.checkpoint(f"generator-{number}")
    generator.fit(images, seed=derive(job.config.seed, "generator"), device=job.device, checkpoint=saved)
    job.keep(fit_figure(generator.reports), f"generators/{number}/training.png")
    if (sheet := sheets.reconstruction(generator, images)) is not None:
        job.keep(sheet, f"generators/{number}/reconstructions.png")
    generator.save(job.place(f"generators/{number}/model"))
    return generator


def _on_reals(job: _Job) -> tuple[TrainedClassifier, Judges]:
    """The classifiers that see real images only, side by side as in the flow."""
    found: dict[str, Any] = {}
    job.side_by_side(
        [lambda: found.update(target=_target(job)), lambda: found.update(judges=_judges(job))],
    )
    return found["target"], found["judges"]


def _target(job: _Job) -> TrainedClassifier:
    config = job.config
    classifier = train(
        config.classifier,
        ArmConfig(name="target", sampling="balanced", augmentation="traditional"),
        job.data.train,
        job.data.val,
        init_seed=derive(config.seed, "init", "target", 0),
        batch_seed=derive(config.seed, "batches", "target", 0),
        device=job.device,
        checkpoint=job.checkpoint("target"),
    )
    classifier.save(job.place("target"))
    return classifier


def _judges(job: _Job) -> Judges:
    config = job.config
    judges = Judges.fit(
        job.data.train,
        config.classifier,
        config.judge,
        seed=derive(config.seed, "judges"),
        device=job.device,
        checkpoint_for=lambda name: job.checkpoint(f"judge-{name}"),
    )
    real_consistency(judges, job.data.train)
    judges.save(job.place("judges"))
    return judges


def _synthesise(job: _Job, config: SynthesisConfig, generator: Generator, judges: Judges, number: int) -> ImageSet:
    images = job.data.train
    wanted = plan(images.counts(), config.sampling_strategy, config.multiple)
    wanted = {name: n for name, n in wanted.items() if name in generator.classes}
    seed = derive(job.config.seed, "synthesis")
    made = synthesise(generator, images, wanted, config, seed=seed, judge=judges.probabilities)
    parquet.write(made.images, job.place(f"synthetic/{number}.parquet"), split="synthetic")
    job.keep(funnel_figure({c: f.model_dump() for c, f in made.funnel.items()}), f"synthetic/{number}-funnel.png")
    if len(made.images):
        nearest, distance = nearest_training_image(made.images, images)
        scores = {"nearest_distance": distance.tolist()}
        job.keep(sheets.real_beside_synthetic(images, made.images), f"synthetic/{number}.png")
        job.keep(contact_sheet(images, made.images, nearest, scores), f"synthetic/{number}-contact.png")
        page = contact_page(images, made.images, nearest, scores)
        job.place(f"synthetic/{number}.html").write_text(page, encoding="utf-8")
    if rows := walks(generator, images, config):
        job.keep(sheets.interpolation(rows, ALPHAS), f"synthetic/{number}-walks.png")
    if sweeps := alpha_sweep(generator, images, config):
        job.keep(alpha_figure(sweeps), f"synthetic/{number}-alpha.png")
    return made.images


def _assess(
    job: _Job, images: ImageSet, generators: list[Generator], target: TrainedClassifier, judges: Judges
) -> None:
    config, data = job.config, job.data
    with devices.cpu_threads(config.compute.threads):
        present = {c: min(n, config.quality.most) for c, n in data.train.counts().items() if images.counts()[c]}
        control = SynthesisConfig(strategy="reconstruct", filters=None)
        controls = [
            synthesise(g, data.train, {c: n for c, n in present.items() if c in g.classes}, control, seed=config.seed)
            for g in generators
        ]
        useful = usefulness(
            data.train,
            images,
            data.val,
            config.classifier,
            seed=derive(config.seed, "usefulness"),
            device=job.device,
            checkpoint_for=lambda name: job.checkpoint(f"usefulness-{name}"),
        )
        report = assess(
            data.train,
            data.val,
            images,
            features_by=target,
            config=config.quality,
            seed=derive(config.seed, "quality"),
            judges=judges,
            reconstruction=concatenate([made.images for made in controls]),
            usefulness=useful,
        )
        job.place("quality.html").write_text(quality_page(report), encoding="utf-8")


def _training_images(job: _Job, synthetic: ImageSet | None, share: float | None) -> ImageSet:
    if synthetic is None:
        return job.data.train
    part = 1.0 if share is None else share
    head = synthetic.head_of_each_class({c: round(n * part) for c, n in synthetic.counts().items()})
    return concatenate([job.data.train, head])


def _tune(job: _Job, synthetic: Synthetic) -> dict[str, Tuned]:
    config = job.config
    if config.tuning.trials == 0:
        return {arm.name: Tuned() for arm in config.arms}
    if config.tuning.scope == "per_arm":
        return {arm.name: _search(job, (arm,), synthetic) for arm in config.arms}
    searched = tuple(arm for arm in config.arms if arm.name in config.tuning.arms) or config.arms[:1]
    return dict.fromkeys((arm.name for arm in config.arms), _search(job, searched, synthetic))


def _search(job: _Job, arms: tuple[ArmConfig, ...], synthetic: Synthetic) -> Tuned:
    config, names = job.config, ", ".join(arm.name for arm in arms)
    initial = as_configured(config.classifier)

    def opened() -> tuning.Search:
        seed = derive(config.seed, "tuning", names)
        return tuning.open_study(
            str(job.place("tuning.journal")), names, seed=seed, config=config.tuning, initial=initial
        )

    def run(trial: TrialSpec) -> float | None:
        search, steps, found = opened(), config.tuning.steps or max(1, config.classifier.steps // 2), list[float]()
        fitted = trial.parameters.apply(config.classifier).model_copy(update={"steps": steps})
        try:
            for arm in arms:
                classifier = train(
                    fitted,
                    arm,
                    _training_images(job, synthetic[arm.name], trial.parameters.synthetic_share),
                    job.data.val,
                    init_seed=derive(config.seed, "init", "tuning"),
                    batch_seed=derive(config.seed, "batches", "tuning", arm.name),
                    device=job.device,
                    checkpoint=job.checkpoint(f"trial-{trial.number}-{arm.name}"),
                    on_evaluation=tuning.watch(search, trial, steps=steps, scores=tuple(found)),
                )
                found.append(classifier.history.best_score or 0.0)
        except (Pruned, DivergenceError):
            return None
        return sum(found) / len(found)

    while trials := tuning.ask(search := opened()):
        for trial, value in zip(trials, job.side_by_side([_call(run, trial) for trial in trials]), strict=True):
            tuning.tell(search, trial, value, pruned=value is None)
    rows, best = tuning.history(search), tuning.best(search)
    job.keep(tuning_figures.history_figure(rows), f"tuning/{names}/history.png")
    job.keep(tuning_figures.importance_figure(tuning.importance(search)), f"tuning/{names}/importance.png")
    return best.parameters if best is not None else initial


def _repeat(job: _Job, arm: ArmConfig, repetition: int, synthetic: ImageSet | None, tuned: Tuned) -> _Repetition:
    config, name = job.config, f"{arm.name}-{repetition}"
    classifier = train(
        tuned.apply(config.classifier),
        arm,
        _training_images(job, synthetic, tuned.synthetic_share),
        job.data.val,
        init_seed=derive(config.seed, "init", repetition),
        batch_seed=derive(config.seed, "batches", arm.name, repetition),
        device=job.device,
        checkpoint=job.checkpoint(name),
    )
    on_val = scores(_predict(job, classifier, job.data.val)) if len(job.data.val) else {}
    on_test = _predict(job, classifier, job.data.test)
    scores(on_test)
    classifier.save(job.place(f"classifiers/{name}"))
    on_test.write(job.place(f"predictions/{name}.parquet"))
    return _Repetition(on_val.get("balanced_accuracy", 0.0), on_test)


def _predict(job: _Job, classifier: TrainedClassifier, images: ImageSet) -> Predictions:
    probabilities = classifier.predict(images, device=torch.device(job.device))
    return Predictions(
        ids=images.ids, labels=images.labels.numpy(), probabilities=probabilities, classes=classifier.classes
    )


def _compare(job: _Job, of_arm: dict[str, list[_Repetition]]) -> Comparison:
    comparison = compare(
        {name: [r.predictions for r in done] for name, done in of_arm.items()},
        {name: [r.validation for r in done] for name, done in of_arm.items()},
        controls=[arm.name for arm in job.config.arms if arm.is_control],
        train_counts=job.data.train.counts(),
        config=job.config.evaluation,
        seed=derive(job.config.seed, "comparison"),
    )
    job.keep(forest_figure(comparison), "figures/forest.png")
    job.keep(recall_figure(comparison), "figures/recall_by_class.png")
    job.keep(reliability_figure(comparison), "figures/reliability.png")
    job.place("comparison.html").write_text(comparison_page(comparison), encoding="utf-8")
    return comparison


def _decide(job: _Job, comparison: Comparison, of_arm: dict[str, list[_Repetition]]) -> None:
    best = max(of_arm[comparison.best_arm], key=lambda repetition: repetition.validation)
    decision = gate(
        best.predictions,
        None,
        train_counts=job.data.train.counts(),
        config=job.config.promotion,
        confidence=job.config.evaluation.confidence,
        resamples=job.config.evaluation.resamples,
        seed=derive(job.config.seed, "promotion"),
    )
    job.place("promotion.html").write_text(promotion_page(decision), encoding="utf-8")
