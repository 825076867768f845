"""The images that are missing: what making them needs, as many as the plan says, and what became of them."""

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from synaug_core import code_reach, frozen, names, refs, seeds
from synaug_core.classify.trained import TrainedClassifier
from synaug_core.config import ClassifierConfig, SynthesisConfig
from synaug_core.data import imageset
from synaug_core.generators import base
from synaug_core.progress import part_of
from synaug_core.quality import consistency, features, neighbours
from synaug_core.quality.judge import Judges
from synaug_core.report import contact, sheets
from synaug_core.report.figures.synthesis import alpha_figure, funnel_figure
from synaug_core.services.mlflow.recorder import Recorder
from synaug_core.services.mlflow.tags import ArtifactPath, Tag
from synaug_core.synthesis import alpha_sweep, filters, make, masks, plan, registry, subset
from tasks.engine import machine, recording, storage
from tasks.engine.context import Context, group_name
from tasks.engine.step import action, step

__all__ = ["Need", "list_needs", "synthesis_name", "synthesise_group"]


class Need(frozen.Frozen):
    """What one synthesis needs."""

    synthesis: SynthesisConfig
    classes: tuple[str, ...]
    """The classes that get images."""
    generator: bool
    targets: int
    """Classifiers whose uncertainty is sought."""
    judges: bool
    held_back: bool = False
    """Whether it takes real images that were left out of training."""
    masks: str = ""
    """The digest of the masks that it takes from files; empty where it takes none."""


_ENSEMBLE = 5


@action
def list_needs(dataset: refs.DatasetRef, syntheses: tuple[SynthesisConfig, ...]) -> tuple[Need, ...]:
    """Look every strategy up. A synthesis whose plan asks for no image needs nothing."""
    needs = []
    for synthesis in syntheses:
        entry = registry.find(synthesis.strategy)
        planned = plan.plan(dataset.train.counts, synthesis.sampling_strategy, synthesis.multiple)
        classes = tuple(name for name in dataset.classes if planned.get(name, 0) > 0)
        members = min(_ENSEMBLE, synthesis.targeted.samples) if synthesis.targeted.posterior == "ensemble" else 1
        needs.append(
            Need(
                synthesis=synthesis,
                classes=classes,
                generator=entry.generator,
                targets=(members if entry.target else 1) if classes and entry.needs_classifier(synthesis) else 0,
                judges=bool(classes) and _needs_judge(synthesis, copies=entry.copies),
                held_back=entry.held_back,
                masks=masks.fingerprint_masks(folder) if (folder := _masks_folder(synthesis)) and classes else "",
            )
        )
    return tuple(needs)


def _masks_folder(synthesis: SynthesisConfig) -> Path | None:
    folder = synthesis.paste.masks if synthesis.strategy == "paste" else None
    return None if folder is None else Path(folder)


def _needs_judge(synthesis: SynthesisConfig, *, copies: bool) -> bool:
    return synthesis.labels == "judged" if copies else synthesis.needs_judge


_NAMED_FIELDS = ("detail", "path", "pairing")
_SCORES = ("label_probability", "uncertainty", "uncertainty_before", "uncertainty_after")
_UNLIKELY = "funnel/reals_label_filter_would_drop"
"""Metric: share of a class's real images that the label filter would drop."""
_THRESHOLD = "funnel/least_label_probability"
"""Metric: what the label filter asks of a class's images."""


@step
def synthesise_group(
    context: Context,
    classes: tuple[str, ...],
    generator: refs.GeneratorRef | None,
    judges: tuple[refs.JudgesRef, ...],
    target: tuple[refs.ClassifierRef, ...],
    config: SynthesisConfig,
    held_back: refs.ImageSetRef | None = None,
    draws: int = 1,
    extractor: ClassifierConfig | None = None,
    mask_digest: str = "",
) -> refs.SyntheticRef:
    """Make the planned images of some classes, and keep those that pass the filters; or take real ones for them. As
    each repetition has its own, `draws` times; all that is measured and drawn is about the first of these sets.

    `mask_digest` says what the masks are that are read from files. Beside each image the contact sheet shows the
    training image that is most like it in the features of `extractor`, or else the nearest in pixels; how far an image
    is from a copy is told in pixels."""
    dataset, seed = context.dataset, seeds.derive(context.seed, "synthesis")
    way = synthesis_name(config, generator.kind if generator is not None else None)
    name = f"{way} {group_name(classes)}"
    planned = plan.plan(dataset.train.counts, config.sampling_strategy, config.multiple)
    requested = {c: planned[c] for c in classes if planned.get(c, 0) > 0}
    with recording.recorded("synthesis", name, context.run) as recorder:
        with machine.device_slot(context.compute) as device:
            train, device_name = storage.load_images(dataset.train), str(device)
            fitted = storage.load_generator(generator, device_name) if generator is not None else None
            judge = storage.load_judges(judges, device_name) if judges else None
            aims = tuple(storage.load_classifier(reference, device_name) for reference in target)
            labels = _real_labels(judge, train, tuple(requested), config)
            describe = _describe(train, extractor, aims, device_name) if config.is_chosen_by_uncertainty else None
            draw_images = partial(
                make.synthesise,
                *(fitted, train, requested, config),
                judge=judge.probabilities if judge is not None else None,
                real_probabilities={name: real.low for name, real in labels.items()},
                target=aims,
                held_back=storage.load_images(held_back) if held_back is not None else None,
                describe=describe,
                masks=_read_masks(dataset, train, tuple(requested), config) if mask_digest else None,
            )
            total, show, start = sum(requested.values()), recording.progress("synthesis", name), time.monotonic()
            result = draw_images(seed=seed, progress=part_of(show, before=0, total_steps=draws * total))
            seconds = time.monotonic() - start
            unlikely = _unlikely_reals(labels, config)
            reference = storage.store_images(recorder, result.images, ArtifactPath.SYNTHETIC_IMAGES, "synthetic")
            further: list[refs.ImageSetRef] = []
            funnels = [result.funnel]
            for number in range(1, draws):
                anew = draw_images(
                    seed=seeds.derive(seed, "draw", number),
                    progress=part_of(show, before=number * total, total_steps=draws * total),
                )
                path = f"{ArtifactPath.IMAGES}/synthetic-{number}.parquet"
                further.append(storage.store_images(recorder, anew.images, path, "synthetic"))
                funnels.append(anew.funnel)
            _draw_subset(recorder, train, result)
            if fitted is not None:
                _draw_latents(
                    recorder, dataset, fitted, train, result.images, config, seeds.derive(context.seed, "synthesis")
                )
            nearest = neighbours.find_nearest_training_image(result.images, train) if len(result.images) else None
            if nearest is not None and extractor is not None:
                nearest = _find_similar(result.images, train, extractor, device_name), nearest[1]
        notes = tuple(
            f"{way}, {c}: {f.accepted} of {f.planned} images, as no more real ones are left out of training"
            if held_back is not None
            else f"{way}, {c}: {f.accepted} of {f.planned} images passed the filters, {f.generated} were made"
            + (f"; {_would_drop([unlikely[c]])}" if c in unlikely else "")
            for c, f in result.funnel.items()
            if not f.filled
        )
        notes += _further_shortfalls(way, funnels)
        notes += _enlargement(way, make.enlarged_from(fitted, config), dataset.image_size)
        if notes:
            recorder.tags({Tag.NOTES: "; ".join(notes)})
        recorder.params(config.model_dump() | _generator_facts(fitted, config) | {"classes": ", ".join(classes)})
        recorder.metrics(
            {"seconds/synthesis": seconds, "seconds/per_1000": 1000 * seconds / max(1, len(result.images))}
        )
        _record_funnel(recorder, dataset, result, unlikely, _thresholds(labels, config))
        if nearest is not None:
            images = f"{dataset.name}-synthetic"
            recorder.dataset_input(result.images, name=images, digest=reference.sha256[:36], context="synthetic")
            shown_by = "the features of a pretrained network" if extractor is not None else "pixels"
            _draw_images(recorder, dataset, train, result.images, nearest, config, fitted, shown_by)
    return refs.SyntheticRef(
        **reference.model_dump(),
        planned=sum(requested.values()),
        planned_counts=requested,
        seconds=seconds,
        notes=notes,
        further=tuple(further),
    )


def _read_masks(
    dataset: refs.DatasetRef, train: imageset.ImageSet, classes: tuple[str, ...], config: SynthesisConfig
) -> dict[str, Tensor]:
    """Of the training images of these classes."""
    ids = [name for c in classes for name in train.of_class(c).ids]
    return masks.read_masks(Path(config.paste.masks or ""), ids, dataset.image_size, dataset.preprocessing)


def _describe(
    train: imageset.ImageSet,
    extractor: ClassifierConfig | None,
    aims: tuple[TrainedClassifier, ...],
    device: str,
) -> subset.Describe:
    """Features in which a subset covers its class: of the frozen backbone, or else of the first target."""
    if extractor is None:
        return features.ClassifierFeatures(aims[0])
    return _frozen_features(train, extractor, device)


def _frozen_features(train: imageset.ImageSet, extractor: ClassifierConfig, device: str) -> features.FrozenFeatures:
    return features.FrozenFeatures.load(extractor, channels=train.channels, size=train.size, device=device).fit(train)


def synthesis_name(config: SynthesisConfig, kind: str | None) -> str:
    """A way of making images: the kind of generator, the strategy, and what is not its default."""
    words = [kind] if kind else []
    words.append(config.strategy)
    if config.strategy in ("targeted", "random"):
        words += [config.targeted.uncertainty] + ["ensemble"] * (config.targeted.posterior == "ensemble")
    usual = SynthesisConfig()
    words += [config.paste.mask, config.paste.blending] if config.strategy == "paste" else []
    words += [f"{config.subset.by} subset"] if config.subset is not None else []
    words += ["judged labels"] if config.labels == "judged" else []
    words += [str(getattr(config, f)) for f in _NAMED_FIELDS if getattr(config, f) != getattr(usual, f)]
    return " ".join("plain" if word == "none" else word for word in words)


def _enlargement(way: str, size: int | None, stored: int) -> tuple[str, ...]:
    """A note where decoded images of `size` pixels are enlarged as they are."""
    if size is None:
        return ()
    return (f"{way}: decoded at {size} px and enlarged to {stored} px: they are less sharp than real images",)


def _generator_facts(generator: base.Generator | None, config: SynthesisConfig) -> dict[str, Any]:
    """What `auto` has become, where the generator decides it."""
    if generator is None:
        return {}
    detail = registry.find(config.strategy).kept_detail(config, enlarges=generator.enlarges)
    return {"detail": detail, "learnt_size": generator.learnt_size}


def _further_shortfalls(way: str, funnels: Sequence[Mapping[str, make.Funnel]]) -> tuple[str, ...]:
    """A note for each class whose plan the first repetition's images fill, and others' do not."""
    filled = {c: f.planned for c, f in funnels[0].items() if f.filled}
    short = {c: [funnel[c].accepted for funnel in funnels[1:] if not funnel[c].filled] for c in filled}
    return tuple(
        f"{way}, {c}: in {len(accepted)} of {len(funnels)} repetitions only {min(accepted)} or more of {filled[c]} "
        "images passed the filters"
        for c, accepted in short.items()
        if accepted
    )


def _real_labels(
    judges: Judges | None, train: imageset.ImageSet, classes: tuple[str, ...], config: SynthesisConfig
) -> dict[str, consistency.RealLabels]:
    """What the judges say of the real images of each class; nothing without the label filter."""
    if judges is None or config.filters is None or not config.filters.needs_judge or not classes:
        return {}
    return consistency.measure_real_labels(judges, imageset.concatenate([train.of_class(name) for name in classes]))


def _unlikely_reals(labels: Mapping[str, consistency.RealLabels], config: SynthesisConfig) -> dict[str, float]:
    """By class, the share of its real images that the label filter would drop: what its share of dropped synthetic
    images is to be held against."""
    thresholds = _thresholds(labels, config)
    return {name: labels[name].share_below(least) for name, least in thresholds.items()}


def _thresholds(labels: Mapping[str, consistency.RealLabels], config: SynthesisConfig) -> dict[str, float]:
    """The label filter's least probability of each class."""
    gate = config.filters
    least = {name: gate.least_probability(real.low) for name, real in labels.items()} if gate is not None else {}
    return {name: value for name, value in least.items() if value is not None}


def _would_drop(shares: Sequence[float]) -> str:
    """The filter beside which a funnel is read, in a sentence."""
    low, high = (f"{100 * share:.3g}" for share in (min(shares), max(shares)))
    return f"the label filter would drop {low if low == high else f'{low} to {high}'} % of the real images too"


@code_reach.records_only
def _record_funnel(
    recorder: Recorder,
    dataset: refs.DatasetRef,
    result: make.SynthesisResult,
    unlikely: Mapping[str, float],
    thresholds: Mapping[str, float],
) -> None:
    """What became of the images of each class: metrics, JSON, a table and a figure."""
    short = names.slugs(dataset.classes)
    for class_name, funnel in result.funnel.items():
        label = short[class_name]
        recorder.metrics({f"images/{label}": funnel.accepted})
        recorder.details({f"wanted/{label}": funnel.planned, f"made/{label}": funnel.generated})
        recorder.details({f"unjudged/{label}": funnel.unjudged})
        recorder.details({f"dropped/{names.slugs([r])[r]}/{label}": n for r, n in funnel.dropped.items()})
        recorder.details({f"{name}/{label}": v for name, v in result.measures.get(class_name, {}).items()})
        recorder.details({f"{_UNLIKELY}/{label}": unlikely.get(class_name)})
        recorder.details({f"{_THRESHOLD}/{label}": thresholds.get(class_name)})
    recorder.json({c: funnel.model_dump(mode="json") for c, funnel in result.funnel.items()}, "funnel.json")
    recorder.text(_table(result, unlikely), "funnel.csv")
    if result.funnel:
        heading = _would_drop(tuple(unlikely.values())) if unlikely else ""
        figure = funnel_figure({c: f.model_dump() for c, f in result.funnel.items()}, heading)
        recorder.figure(figure, "figures/funnel.png")


def _table(result: make.SynthesisResult, unlikely: Mapping[str, float]) -> str:
    """What became of the images of each class, as CSV: MLflow's page shows it as a table."""
    text = io.StringIO()
    rows = csv.writer(text)
    further = ("surplus", "unjudged", "filled", "share of reals the label filter would drop")
    rows.writerow(["class", "wanted", "made", "kept", *filters.REASONS, *further])
    for name, f in result.funnel.items():
        dropped = [f.dropped.get(reason, 0) for reason in filters.REASONS]
        ends = (f.surplus, f.unjudged, "yes" if f.filled else "no", unlikely.get(name, ""))
        rows.writerow([name, f.planned, f.generated, f.accepted, *dropped, *ends])
    return text.getvalue()


@code_reach.records_only
def _find_similar(
    images: imageset.ImageSet, train: imageset.ImageSet, extractor: ClassifierConfig, device: str
) -> Tensor:
    """The training image that is most like each of those that the contact sheet shows."""
    space = _frozen_features(train, extractor, device)
    return neighbours.find_similar_training_image(images, train, space, most=contact.ON_PAGE)


@code_reach.records_only
def _draw_images(
    recorder: Recorder,
    dataset: refs.DatasetRef,
    train: imageset.ImageSet,
    images: imageset.ImageSet,
    nearest: tuple[Tensor, Tensor],
    config: SynthesisConfig,
    generator: base.Generator | None,
    shown_by: str,
) -> None:
    """The images beside real ones; `nearest` are the training image that is shown beside each, the most alike in
    `shown_by`, and how far the nearest one is in pixels."""
    neighbour, distance = nearest
    provenance = [json.loads(text) for text in images.provenance]
    scores = {"nearest_distance": [round(d, 4) for d in distance.tolist()]}
    scores |= {s: [entry.get(s) for entry in provenance] for s in _SCORES if any(s in entry for entry in provenance)}
    heading = f"{dataset.name}: real and synthetic images"
    note = f"Strategy: {config.strategy}{f'; generator: {generator.kind}' if generator else ''}."
    for text in _enlargement("Synthetic images", make.enlarged_from(generator, config), dataset.image_size):
        note += f" {text}."
    note += f" Nearest is what is most alike in {shown_by}; distances to the nearest real image are of pixels."
    recorder.figure(sheets.real_beside_synthetic(train, images), "figures/real_beside_synthetic.png")
    if (sheet := sheets.changes(train, images)) is not None:
        recorder.figure(sheet, "figures/changes.png")
    page = contact.contact_page(train, images, neighbour, scores, heading=heading, note=note)
    recorder.text(page, "contact_sheet.html")
    recorder.figure(contact.contact_sheet(train, images, neighbour, heading=heading), "figures/contact_sheet.png")


@code_reach.records_only
def _draw_subset(recorder: Recorder, train: imageset.ImageSet, result: make.SynthesisResult) -> None:
    """What was taken of many images, beside what was not."""
    if result.left_out:
        recorder.figure(sheets.subset(train, result.images, result.left_out), "figures/subset.png")


@code_reach.records_only
def _draw_latents(
    recorder: Recorder,
    dataset: refs.DatasetRef,
    generator: base.Generator,
    train: imageset.ImageSet,
    images: imageset.ImageSet,
    config: SynthesisConfig,
    seed: int,
) -> None:
    """Ways through the latent space: the pictures that need the generator, and so its device."""
    if len(images) and config.strategy in ("targeted", "random"):
        sheet = sheets.targeted_sheet(generator, train, images)
        if sheet is not None:
            recorder.figure(sheet, "figures/targeted.png")
    if config.strategy == "interpolate":
        if rows := alpha_sweep.walks(generator, train, config):
            recorder.figure(sheets.interpolation(rows, alpha_sweep.ALPHAS), "figures/interpolation.png")
        if sweeps := alpha_sweep.alpha_sweep(generator, train, config, seed=seed):
            recorder.figure(alpha_figure(sweeps), "figures/alpha.png")
            short = names.slugs(dataset.classes)
            recorder.json({s.class_name: s.metrics(short[s.class_name]) for s in sweeps}, "alpha.json")
