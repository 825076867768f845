"""The core calls of one retraining, in the flow's order and side by side as there, without Prefect and MLflow.

What a flow keeps in MLflow is written to a plain folder here: computing a figure or a Parquet file is core work.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.core.images import make_images
from benchmarks.core.job import Job, call
from benchmarks.core.probes import Measured, probe_arms, show_probes
from benchmarks.core.training import Repetition, repeat, tune
from synaug_core.classify.budget import resolve_steps
from synaug_core.config import Config
from synaug_core.data import parquet
from synaug_core.data.fingerprint import fingerprint
from synaug_core.data.prepare import Prepared, prepare
from synaug_core.evaluate.comparison import compare
from synaug_core.evaluate.promotion import gate
from synaug_core.evaluate.reliability import reliability
from synaug_core.evaluate.results import Comparison
from synaug_core.report import sheets
from synaug_core.report.course import course
from synaug_core.report.dataset import counts_figure
from synaug_core.report.figures.comparison import arm_confusion_png
from synaug_core.report.page import comparison_figures, comparison_page
from synaug_core.report.promotion import promotion_page
from synaug_core.report.text import comparison_text
from synaug_core.seeds import derive

__all__ = ["core_only"]


def core_only(config: Config, folder: Path, workers: int) -> Comparison:
    """Do all of it and give the comparison, which is to equal the flow's."""
    job = Job(config, folder, workers)
    with job.pool:
        fingerprint(config.data)
        [job.data] = job.side_by_side([lambda: _prepare(job)])
        classifier = resolve_steps(config.classifier, config.arms, job.data.train.counts())
        job.config = config = config.model_copy(update={"classifier": classifier})
        synthetic, quality = make_images(job)
        tuned = tune(job, synthetic)
        calls = [
            call(repeat, job, arm, repetition, synthetic[arm.name], tuned[arm.name])
            for repetition in range(config.repetitions)
            for arm in config.arms
        ]
        done = job.side_by_side(calls)
        for future in quality:
            future.result()
        by_arm = {arm.name: done[i :: len(config.arms)] for i, arm in enumerate(config.arms)}
        measurements = probe_arms(job, by_arm)
        [comparison] = job.side_by_side([lambda: _compare(job, by_arm)])
        _report(job, comparison, measurements | probe_arms(job, by_arm, comparison))
        for arm in config.arms:
            job.keep(arm_confusion_png(comparison, arm.name), f"arms/{arm.name}/confusion.png")
        if config.promotion.enabled:
            _decide(job, comparison, by_arm)
    return comparison


def _prepare(job: Job) -> Prepared:
    prepared = prepare(job.config.data, seed=job.config.seed)
    splits = {"train": prepared.train, "val": prepared.val, "test": prepared.test}
    for name, images in splits.items():
        parquet.write(images, job.place(f"images/{name}.parquet"), split=name)
        if len(images):
            job.keep(sheets.preview(images), f"figures/{name}.png")
    job.keep(counts_figure({name: images.counts() for name, images in splits.items()}), "figures/counts.png")
    job.place("report.json").write_text(json.dumps(prepared.report.model_dump(mode="json")))
    return prepared


def _compare(job: Job, by_arm: dict[str, list[Repetition]]) -> Comparison:
    comparison = compare(
        {name: [r.predictions for r in done] for name, done in by_arm.items()},
        {name: [r.validation for r in done] for name, done in by_arm.items()},
        controls=[arm.name for arm in job.config.arms if arm.is_control],
        train_counts=job.data.train.counts(),
        config=job.config.evaluation,
        seed=derive(job.config.seed, "comparison"),
    )
    evaluation = job.config.evaluation
    trusted = {
        name: reliability(
            [r.predictions for r in done],
            [r.validated for r in done],
            rarest=comparison.rarest_class,
            precision=evaluation.precision,
            confidence=evaluation.confidence,
            resamples=evaluation.resamples,
            seed=derive(job.config.seed, "reliability"),
        )
        for name, done in by_arm.items()
    }
    return comparison.model_copy(update={"reliability": trusted})


def _report(job: Job, comparison: Comparison, measurements: Measured) -> None:
    report, probes = job.data.report.model_dump(mode="json"), show_probes(measurements, comparison)
    figures = comparison_figures(comparison)
    for kind, figure in figures.items():
        job.place(f"figures/{kind}.png").write_bytes(figure)
    page = comparison_page(
        comparison,
        figures=figures,
        dataset=report,
        sheets={"Training images": sheets.preview(job.data.train)},
        config=job.config.model_dump(mode="json"),
        probes=probes,
        course=course(job.config, comparison, report),
    )
    text = comparison_text(comparison, probes=probes)
    job.place("comparison.html").write_text(page, encoding="utf-8")
    job.place("comparison.txt").write_text(text, encoding="utf-8")


def _decide(job: Job, comparison: Comparison, by_arm: dict[str, list[Repetition]]) -> None:
    best = max(by_arm[comparison.best_arm], key=lambda repetition: repetition.validation)
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
