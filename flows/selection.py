"""Which classifier all arms have: named, or chosen on the real images before anything is made from them."""

from collections.abc import Sequence
from dataclasses import dataclass

from flows.learning import Division
from flows.stages import Stages
from synaug_core import devices
from synaug_core.config import ClassifierConfig, Config
from synaug_core.config.selection import CANDIDATES, candidate_config, list_candidates
from synaug_core.errors import ConfigError
from synaug_core.refs import SelectionPart, SelectionRef
from tasks.selection import choose_classifier, count_parts, rank_candidates, try_part

__all__ = ["Selected", "list_selections", "note_selections", "select_classifiers"]


@dataclass(frozen=True)
class Selected:
    """The configuration of one division, with its classifier, and how that was chosen; None: it was named."""

    config: Config
    selection: SelectionRef | None = None
    drops_attacks: bool = False
    """Whether the robustness probe is left out, which nobody had said."""


def select_classifiers(config: Config, divisions: Sequence[Division], stages: Stages) -> tuple[Selected, ...]:
    """The classifier of all arms in each division.

    In a cross-validation it is chosen in each fold, as what validates in one is a test image of another; draws share
    their test images, so the first draw's images choose for all.
    """
    if config.classifier.is_named:
        return tuple(Selected(config) for _ in divisions)
    with stages.timed("selection"):
        if config.data.split.folds is not None:
            return tuple(_select(config, division, stages, len(divisions)) for division in divisions)
        chosen = _select(config, divisions[0], stages, 1)
        return tuple(chosen for _ in divisions)


def list_selections(selected: Sequence[Selected]) -> tuple[SelectionRef, ...]:
    """The choices that were made, each once: one serves all draws, and each fold has its own."""
    return tuple({s.selection.run_id: s.selection for s in selected if s.selection is not None}.values())


def note_selections(selected: Sequence[Selected]) -> tuple[str, ...]:
    """What the user should know of the choices, each line once."""
    notes = [selection.note for selection in list_selections(selected)]
    if any(choice.drops_attacks for choice in selected):
        notes.append(
            "the classifiers were not disturbed and attacked, which takes hours with a pretrained network and no GPU; "
            "robustness.enabled: true does it"
        )
    return tuple(dict.fromkeys(notes))


def _select(config: Config, division: Division, stages: Stages, divisions: int) -> Selected:
    """Judge all candidates on a few parts of the images and the better half of them on further ones."""
    candidates = _candidates(config, division.dataset.image_size)
    if len(candidates) == 1:  # nothing to choose
        return _with_classifier(config, next(iter(candidates.values())), None)
    context = division.context
    results: tuple[SelectionPart, ...] = ()
    few, all_parts = count_parts(division.dataset, config.selection.parts)
    finalists = max(2, (len(candidates) + 1) // 2)
    expected = divisions * (few * len(candidates) + (all_parts - few) * min(finalists, len(candidates)))
    for parts, entrants in ((range(few), len(candidates)), (range(few, all_parts), finalists)):
        standings = rank_candidates(results) if results else ()
        going_on = [s.candidate for s in standings if not s.reason][:entrants] if results else list(candidates)
        trainings = [
            (f"{CANDIDATES[name].title}, part {part + 1}", (context, name, candidates[name], part))
            for part in parts
            for name in going_on
        ]
        submitted = stages.submit("selection", try_part, trainings, expected)
        results = (*results, *stages.gather(submitted, adopt_below=context.run))
    choosing = stages.submit("selection", choose_classifier, [("choice", (context, results))], expected)
    [selection] = stages.gather(choosing, adopt_below=context.run)
    return _with_classifier(config, candidates[selection.candidate], selection)


def _with_classifier(config: Config, classifier: ClassifierConfig, selection: SelectionRef | None) -> Selected:
    """With the classifier of all arms; without attacks where these, hundreds of passes for each image, are too dear and
    nobody asks for them."""
    chosen = config.model_copy(update={"classifier": classifier})
    is_cheap = classifier.training == "scratch" or devices.resolve(config.compute.device).type == "cuda"
    if is_cheap or config.robustness.enabled != "auto":
        return Selected(chosen, selection)
    robustness = config.robustness.model_copy(update={"enabled": False})
    return Selected(chosen.model_copy(update={"robustness": robustness}), selection, drops_attacks=True)


def _candidates(config: Config, size: int) -> dict[str, ClassifierConfig]:
    """By name, those that can be trained as every arm asks, each once.

    Raises:
        ConfigError: there is none.
    """
    slow_too = config.effort == "high" or devices.resolve(config.compute.device).type == "cuda"
    configs: dict[str, ClassifierConfig] = {}
    for name in list_candidates(config.selection, slow_too=slow_too):
        candidate = candidate_config(config.classifier, name, size)
        if candidate is not None and candidate not in configs.values() and _serves_all_arms(candidate, config):
            configs[name] = candidate
    if not configs:
        raise ConfigError("selection.candidates: none of them can be trained as the arms ask; name further ones")
    return configs


def _serves_all_arms(candidate: ClassifierConfig, config: Config) -> bool:
    return all(any(candidate.obstacle_to(variant) is None for variant in arm.variants) for arm in config.arms)
