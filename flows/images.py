"""The synthetic images of every arm: what they need is fitted, they are made and checked, and they are judged."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from flows.stages import Stages, Submitted
from synaug_core.config import ClassifierConfig, Config, GeneratorConfig, SynthesisConfig
from synaug_core.refs import ClassifierRef, GeneratorRef, JudgesRef, QualityRef, SyntheticRef
from tasks.engine import machine
from tasks.engine.context import Context, group_name
from tasks.generators import fit_group, group_classes
from tasks.judging import assess_images, find_extractor, fit_judges, fit_target, share_judges
from tasks.synthesis import Need, list_needs, synthesis_name, synthesise_group

__all__ = ["ArmImages", "Assessed", "Images", "assess_arms", "images_by_arm", "make_images"]

Fitted = dict[str, tuple[GeneratorRef, ...]]
"""The generators of each distinct generator configuration, by its key."""


@dataclass(frozen=True)
class ArmImages:
    """An arm's synthetic images, and the report on them; None where they were not judged."""

    synthetic: tuple[SyntheticRef, ...]
    quality: QualityRef | None


@dataclass(frozen=True)
class Images:
    """What the arms add to the real images.

    Attributes:
        synthetic: of each arm, as the first repetition has them; arms with equal synthesis share theirs.
        online: the generators that an arm uses inside its training.
        by_synthesis: the images of each distinct synthesis, by its key.
        sources: the generators of each distinct synthesis.
        target: a classifier trained on real images; None where nothing asks for it.
        judges: one panel, in its parts; none where nothing asks for them.
        extractor: the frozen backbone that judges and quality see by; None: there is none, or nothing asks for it.
        note: why there is none where it was asked for; empty where it is so wanted.
        drawn: of each arm, with what was drawn anew for the further repetitions.
    """

    synthetic: dict[str, tuple[SyntheticRef, ...]]
    online: dict[str, tuple[GeneratorRef, ...]]
    by_synthesis: dict[str, tuple[SyntheticRef, ...]] = field(default_factory=dict)
    sources: dict[str, tuple[GeneratorRef, ...]] = field(default_factory=dict)
    target: ClassifierRef | None = None
    judges: tuple[JudgesRef, ...] = ()
    extractor: ClassifierConfig | None = None
    note: str = ""
    drawn: dict[str, tuple[SyntheticRef, ...]] = field(default_factory=dict)

    def for_repetition(self, arm: str, number: int) -> tuple[SyntheticRef, ...]:
        """What the arm's repetition 0, 1, ... of this division adds to the real images."""
        return tuple(reference.for_repetition(number) for reference in self.drawn[arm])

    def notes(self) -> tuple[str, ...]:
        """What the user should know of the generators and the images, each once."""
        generators = (*self.sources.values(), *self.online.values())
        parts: list[GeneratorRef | SyntheticRef] = [g for fitted in generators for g in fitted]
        parts += [images for synthetic in self.by_synthesis.values() for images in synthetic]
        return tuple(dict.fromkeys([*filter(None, [self.note]), *(note for part in parts for note in part.notes)]))


@dataclass(frozen=True)
class RealOnly:
    """Classifiers of real images under way: targets, and the parts of at most one panel of judges."""

    targets: list[Submitted[ClassifierRef]]
    judges: list[Submitted[JudgesRef]]


@dataclass(frozen=True)
class Assessed:
    """Sets of images whose quality is being assessed: the key of the synthesis -> names of its arms, and the steps."""

    arms: dict[str, str]
    steps: list[Submitted[QualityRef]]


def make_images(config: Config, context: Context, stages: Stages, repetitions: int) -> Images:
    """Fit what the arms ask for, once each, and make their images, for each of the division's repetitions."""
    needs = _needs(config, context)
    extractor, note = _extractor(config, context, needs)
    side_by_side = machine.worker_count(config.compute) > 1
    with stages.timed("generator"):
        early = _submit_real_only(config, context, needs, extractor, stages) if side_by_side else None
        fitted = _fit_generators(config, context, needs, stages)
    with stages.timed("judge"):
        real_only = early or _submit_real_only(config, context, needs, extractor, stages)
        targets = tuple(stages.gather(real_only.targets, adopt_below=context.run))
        judges = tuple(stages.gather(real_only.judges, adopt_below=context.run))
    with stages.timed("synthesis"):
        batches = [batch for key, need in needs.items() for batch in _batches(config, key, need, fitted)]
        shared = (judges, targets, context, repetitions, extractor)
        jobs = [(b.name, (context, *b.arguments(*shared))) for b in batches]
        synthetic = stages.gather(stages.submit("synthesis", synthesise_group, jobs), adopt_below=context.run)
    drawn = {
        key: tuple(images for images, batch in zip(synthetic, batches, strict=True) if batch.key == key)
        for key in needs
    }
    by_synthesis = {key: tuple(images.for_repetition(0) for images in parts) for key, parts in drawn.items()}
    return Images(
        synthetic={arm.name: by_synthesis.get(_key(arm.synthesis), ()) for arm in config.arms},
        online={
            arm.name: fitted[_generator_key(config, arm.online.generator)] if arm.online is not None else ()
            for arm in config.arms
        },
        by_synthesis=by_synthesis,
        sources={key: tuple(b.generator for b in batches if b.key == key and b.generator) for key in needs},
        target=targets[0] if targets else None,
        judges=judges,
        extractor=extractor,
        note=note,
        drawn={arm.name: drawn.get(_key(arm.synthesis), ()) for arm in config.arms},
    )


def assess_arms(config: Config, context: Context, images: Images, stages: Stages) -> Assessed:
    """Have the quality of each distinct set of images assessed, beside whatever comes next."""
    quality = config.quality if images.extractor is not None else config.quality.without_features()
    is_frozen = quality.features == "frozen"
    if not quality.enabled or not (is_frozen or images.target) or not images.judges:
        return Assessed({}, [])
    arms = {
        key: ", ".join(arm.name for arm in config.arms if _key(arm.synthesis) == key)
        for key, synthetic in images.by_synthesis.items()
        if any(reference.images for reference in synthetic)
    }
    space = (None, images.extractor) if is_frozen else (images.target, None)
    shared = (*space, images.judges, config.classifier, quality)
    jobs = [
        (name, (context, name, images.by_synthesis[key], images.sources[key], *shared)) for key, name in arms.items()
    ]
    return Assessed(arms, stages.submit("quality", assess_images, jobs))


def images_by_arm(
    config: Config, images: Images, assessed: Assessed, quality: Sequence[QualityRef]
) -> dict[str, ArmImages]:
    """Each arm's synthetic images and the report on them; arms without any are left out."""
    reports = dict(zip(assessed.arms, quality, strict=True))
    return {
        arm.name: ArmImages(images.synthetic[arm.name], reports.get(_key(arm.synthesis)))
        for arm in config.arms
        if images.synthetic[arm.name]
    }


@dataclass(frozen=True)
class _Batch:
    """What one step makes: images of some classes, by one generator or by none."""

    key: str
    need: Need
    generator: GeneratorRef | None
    classes: tuple[str, ...]

    @property
    def name(self) -> str:
        kind = self.generator.kind if self.generator else None
        return f"{synthesis_name(self.need.synthesis, kind)} {group_name(self.classes)}"

    def arguments(
        self,
        judges: tuple[JudgesRef, ...],
        targets: tuple[ClassifierRef, ...],
        context: Context,
        repetitions: int,
        extractor: ClassifierConfig | None,
    ) -> tuple[object, ...]:
        """Of the step, after its context."""
        checked_by, synthesis = judges if self.need.judges else (), self.need.synthesis
        held_back = context.dataset.held_back if self.need.held_back else None
        draws = repetitions if synthesis.anew else 1
        aims = targets[: self.need.targets]
        masks = self.need.masks
        return self.classes, self.generator, checked_by, aims, synthesis, held_back, draws, extractor, masks


def _needs(config: Config, context: Context) -> dict[str, Need]:
    """What each distinct synthesis needs, by its key; one that makes no image is left out."""
    syntheses = {_key(arm.synthesis): arm.synthesis for arm in config.arms if arm.synthesis is not None}
    needs = list_needs(context.dataset, tuple(syntheses.values())) if syntheses else ()
    return {_key(need.synthesis): need for need in needs if need.classes}


def _extractor(config: Config, context: Context, needs: dict[str, Need]) -> tuple[ClassifierConfig | None, str]:
    """The frozen backbone by which images are described, and a note where one is asked for and cannot be had."""
    is_judged = config.quality.enabled or any(need.judges for need in needs.values())
    if not needs or not is_judged or "frozen" not in (config.judge.training, config.quality.features):
        return None, ""
    extractor = find_extractor(context.dataset, config.classifier)
    return extractor.network, extractor.note


def _submit_real_only(
    config: Config, context: Context, needs: dict[str, Need], extractor: ClassifierConfig | None, stages: Stages
) -> RealOnly:
    """Begin what is trained on real images only: first what takes longest, the judges, then the targets."""
    assessed = config.quality.enabled and bool(needs)
    judge, quality = config.judge, config.quality
    if extractor is None:
        judge, quality = judge.without_features(), quality.without_features()
    parts = share_judges(judge) if assessed or any(need.judges for need in needs.values()) else {}
    in_target = assessed and quality.features == "classifier"
    targets = max([int(in_target), *(need.targets for need in needs.values())])
    below = extractor if judge.training == "frozen" else config.classifier
    panel = [(name, (context, name, left_out, below, judge)) for name, left_out in parts.items()]
    aims = [(f"target {number}", (context, number, config.classifier)) for number in range(targets)]
    judges = stages.submit("judge", fit_judges, panel)
    return RealOnly(stages.submit("judge", fit_target, aims), judges)


def _fit_generators(config: Config, context: Context, needs: dict[str, Need], stages: Stages) -> Fitted:
    """Each distinct generator, for the classes that any arm asks of it, a group of classes in one step."""
    classes_of: dict[str, set[str]] = {}
    settings: dict[str, GeneratorConfig] = {}

    def request(name: str, classes: tuple[str, ...]) -> None:
        key = _generator_key(config, name)
        settings[key] = config.generator_named(name)
        classes_of.setdefault(key, set()).update(classes)

    dataset = context.dataset
    for need in needs.values():
        if need.generator:
            request(need.synthesis.generator, need.classes)
    for arm in config.arms:
        if arm.online is not None:
            request(arm.online.generator, tuple(c for c in dataset.classes if dataset.train.counts[c]))
    groups = [
        (key, group)
        for key, classes in classes_of.items()
        for group in group_classes(context, tuple(c for c in dataset.classes if c in classes), settings[key])
    ]
    jobs = [(f"{settings[key].kind} {group_name(group)}", (context, group, settings[key])) for key, group in groups]
    fitted = stages.gather(stages.submit("generator", fit_group, jobs), adopt_below=context.run)
    return {key: tuple(f for f, (owner, _) in zip(fitted, groups, strict=True) if owner == key) for key in classes_of}


def _batches(config: Config, key: str, need: Need, fitted: Fitted) -> list[_Batch]:
    """The steps of a synthesis: for each of its generators those of the classes that it knows."""
    if not need.generator:
        return [_Batch(key, need, None, need.classes)]
    generators = fitted[_generator_key(config, need.synthesis.generator)]
    served = [(g, tuple(c for c in need.classes if c in g.classes)) for g in generators]
    return [_Batch(key, need, generator, classes) for generator, classes in served if classes]


def _key(synthesis: SynthesisConfig | None) -> str:
    return "" if synthesis is None else synthesis.model_dump_json()


def _generator_key(config: Config, name: str) -> str:
    return config.generator_named(name).model_dump_json()
