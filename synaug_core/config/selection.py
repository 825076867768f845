"""Which classifiers compete to be the one of all arms, and how."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, field_validator

from synaug_core.config.base import Section
from synaug_core.config.classifier import NETWORK_KEYS, PRETRAINED_BACKBONE, ClassifierConfig
from synaug_core.packaged_weights import PACKAGED

__all__ = ["CANDIDATES", "CandidateClassifier", "SelectionConfig", "candidate_config", "list_candidates"]

_LARGER_BACKBONE = "tf_efficientnet_lite1"


@dataclass(frozen=True)
class CandidateClassifier:
    """A classifier that may be chosen for the data.

    Attributes:
        title: for people.
        settings: keys of `classifier` that make it what it is.
        largest: most pixels a side that it is shown; None: as `classifier` says.
        least: images have to be larger than this, in pixels a side, or it is none but another candidate.
        slow: hours on a CPU: by default it competes on a GPU, or where `effort` is high.
        named_only: it competes only where `candidates` names it.
    """

    title: str
    settings: dict[str, Any]
    largest: int | None = None
    least: int = 0
    slow: bool = False
    named_only: bool = False


CANDIDATES: dict[str, CandidateClassifier] = {
    "frozen_quick": CandidateClassifier(
        "frozen EfficientNet-Lite0 with two views of an image",
        {"training": "frozen", "backbone": PRETRAINED_BACKBONE, "pretrained": "package", "views": 2},
        named_only=True,
    ),
    "frozen": CandidateClassifier(
        "frozen EfficientNet-Lite0", {"training": "frozen", "backbone": PRETRAINED_BACKBONE, "pretrained": "package"}
    ),
    "frozen_lite1": CandidateClassifier(
        "frozen EfficientNet-Lite1", {"training": "frozen", "backbone": _LARGER_BACKBONE, "pretrained": "package"}
    ),
    "small_cnn": CandidateClassifier("small CNN", {"training": "scratch", "backbone": "small_cnn"}, largest=32),
    "small_cnn_64": CandidateClassifier(
        "small CNN at 64 px", {"training": "scratch", "backbone": "small_cnn"}, largest=64, least=40
    ),
    "fine_tuned": CandidateClassifier(
        "fine-tuned EfficientNet-Lite0",
        {"training": "fine_tuned", "backbone": PRETRAINED_BACKBONE, "pretrained": "package"},
        slow=True,
    ),
}
"""By name, the cheapest first: of equally good ones the first is chosen."""


class SelectionConfig(Section):
    """Which classifier all arms have, chosen on the real training and validation images before anything is made, where
    `classifier` names none."""

    candidates: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the classifiers that compete; default: those that this machine can train in reasonable time and has
    weights of."""
    parts: Annotated[int, Field(ge=1, le=5)] = 3
    """Of five parts of the images of training and validation, on how many the best candidates are judged, each time
    with a training on the other parts; where the validation images are many they judge alone, once. The first third of
    these parts sorts out the weaker half of the candidates."""

    @field_validator("candidates")
    @classmethod
    def _candidates_are_known(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if unknown := [name for name in names or () if name not in CANDIDATES]:
            raise ValueError(f"unknown candidate {unknown[0]!r}; known are {', '.join(CANDIDATES)}")
        return names


def list_candidates(config: SelectionConfig, *, slow_too: bool) -> tuple[str, ...]:
    """The names of the classifiers that compete: those that are named, or else all whose weights are at hand.

    Args:
        config: of the selection.
        slow_too: whether those compete by default that take hours on a CPU.
    """
    if config.candidates is not None:
        return config.candidates
    return tuple(
        name
        for name, entry in CANDIDATES.items()
        if (slow_too or not entry.slow) and not entry.named_only and _has_weights(entry.settings)
    )


def _has_weights(settings: dict[str, Any]) -> bool:
    if settings.get("pretrained") != "package":
        return True
    path = PACKAGED[settings["backbone"]].locate()
    return path is not None and path.is_file()


def candidate_config(config: ClassifierConfig, name: str, size: int) -> ClassifierConfig | None:
    """A candidate with all that is configured apart from the network.

    Args:
        config: with the backbone `auto`.
        name: of the candidate.
        size: of the images, pixels a side.

    Returns:
        None where images of this size make it none of its own.
    """
    entry = CANDIDATES[name]
    if size <= entry.least:
        return None
    shown = {"input_size": entry.largest} if entry.largest is not None and size > entry.largest else {}
    return ClassifierConfig.model_validate({**config.model_dump(exclude=NETWORK_KEYS), **entry.settings, **shown})
