"""What every division of the images comes to: synthetic images, what the judge says of them, trained classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from prefect.futures import PrefectFuture

from flows.divisions import Division
from flows.garbage import set_libraries_aside
from flows.images import Images, Judged, judge_images, make_images, of_arms
from flows.ledger import Ledger
from flows.search import tune
from flows.training import train_arms
from synaug_core.config import Config
from synaug_core.refs import QualityRef, RepetitionRef, RunRef, SyntheticRef
from tasks.machine import worker_count
from tasks.retraining import adopt_runs

__all__ = ["Learnt", "learn"]


@dataclass(frozen=True)
class Learnt:
    """Of all divisions, in their order.

    Attributes:
        images: what the arms add to the real images.
        judged: the sets of images that were judged, by key.
        quality: what was found, in the order of `judged`.
        repetitions: every training of every arm.
    """

    images: tuple[Images, ...]
    judged: tuple[Judged, ...]
    quality: tuple[tuple[QualityRef, ...], ...]
    repetitions: tuple[RepetitionRef, ...]

    def reports(self) -> dict[str, QualityRef]:
        """Names of arms -> what was found of their images, in the first division."""
        return {name: found for (name, _), found in zip(self.judged[0].values(), self.quality[0], strict=True)}

    def by_arm(self, config: Config) -> list[dict[str, tuple[tuple[SyntheticRef, ...], QualityRef | None]]]:
        """For each division, each arm's synthetic images and what was found of them."""
        parts = zip(self.images, self.judged, self.quality, strict=True)
        return [of_arms(config, images, judged, quality) for images, judged, quality in parts]

    def notes(self) -> tuple[str, ...]:
        """What the user should know of generators and images: each line once, with the folds that it is about where
        these are not all."""
        about: dict[str, list[int]] = {}
        for number, images in enumerate(self.images, start=1):
            for note in images.notes():
                about.setdefault(note, []).append(number)
        return tuple(_of_folds(note, numbers, len(self.images)) for note, numbers in about.items())


def learn(config: Config, divisions: Sequence[Division], parents: Mapping[str, RunRef], ledger: Ledger) -> Learnt:
    """Make the images of every division, search, and train every arm; trainings of one division run beside the
    generators of the next."""
    images: list[Images] = []
    judged: list[Judged] = []
    trained: list[tuple[str, PrefectFuture[RepetitionRef]]] = []
    spare = worker_count(config.compute) > config.tuning.parallel  # where trials need all, images are judged after them
    expected = len(config.arms) * sum(len(division.repetitions) for division in divisions)
    for division in divisions:
        made = make_images(config, division.dataset, division.run, ledger)
        if not images:
            set_libraries_aside()
        images.append(made)
        judge = partial(judge_images, config, division.dataset, made, division.run, ledger)
        early = judge() if spare else None
        tuned = tune(config, division.dataset, made, division.run, ledger)
        judged.append(judge() if early is None else early)
        begun = train_arms(config, division, made, tuned, parents)
        trained += ledger.follow("training", begun, expected)
    with ledger.stage("training"):
        repetitions = ledger.gather("training", trained)
    with ledger.stage("quality"):
        quality = [tuple(ledger.gather("quality", list(parts.values()))) for parts in judged]
        for division, found in zip(divisions, quality, strict=True):
            adopt_runs(division.run, tuple(one.run_id for one in found))
    return Learnt(tuple(images), tuple(judged), tuple(quality), tuple(repetitions))


def _of_folds(note: str, numbers: Sequence[int], folds: int) -> str:
    if len(numbers) == folds:
        return note
    return f"fold{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))} of {folds}: {note}"
