"""The trainings of every arm on one division of the images."""

from __future__ import annotations

from collections.abc import Mapping

from prefect.futures import PrefectFuture

from flows.divisions import Division
from flows.images import Images
from synaug_core.classify.search_space import Tuned
from synaug_core.config import Config
from synaug_core.refs import RepetitionRef, RunRef
from tasks.repetition import train_repetition

__all__ = ["train_arms"]


def train_arms(
    config: Config, division: Division, images: Images, tuned: Mapping[str, Tuned], parents: Mapping[str, RunRef]
) -> list[tuple[str, PrefectFuture[RepetitionRef]]]:
    """Begin every repetition of every arm; the arms of one repetition are a pair."""
    return [
        (
            f"{arm.name} {repetition}",
            train_repetition.submit(
                division.dataset,
                arm,
                repetition,
                images.synthetic[arm.name],
                images.online[arm.name],
                config.classifier,
                tuned[arm.name],
                config.seed,
                config.compute,
                parents[arm.name],
            ),
        )
        for repetition in division.repetitions
        for arm in config.arms
    ]
