"""What a probe declares: of which trainings it is run, what it measures of them, and what a report shows of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from synaug_core.config.probes import ProbeConfig
from synaug_core.frozen import Frozen
from synaug_core.progress import Progress, silent

if TYPE_CHECKING:
    import torch

    from synaug_core.classify.trained import TrainedClassifier
    from synaug_core.data.imageset import ImageSet
    from synaug_core.evaluate.predictions import Predictions
    from synaug_core.evaluate.results import Comparison

__all__ = ["Band", "ComparedArms", "Measurement", "Probe", "ProbeInput", "ReportSection", "Table", "Training"]

C = TypeVar("C", bound=ProbeConfig)
R = TypeVar("R", bound=Frozen)


@dataclass(frozen=True, eq=False)
class Training:
    """One training of an arm; nothing of it is in memory until it is loaded.

    Attributes:
        repetition: its number.
        load_classifier: what it trained, on the CPU.
        load_predictions: what that predicts of its test images.
    """

    repetition: int
    load_classifier: Callable[[], TrainedClassifier]
    load_predictions: Callable[[], Predictions]


class ComparedArms(Frozen):
    """As much of a comparison as a probe of all arms depends on."""

    reference: str
    """The arm that the others are held against: the best control, or the best arm where there is no control."""
    best: str | None
    """The best synthetic arm; None where there is none."""

    @classmethod
    def from_comparison(cls, comparison: Comparison) -> ComparedArms:
        """Reference and best synthetic arm of a comparison."""
        return cls(reference=comparison.best_control or comparison.best_arm, best=comparison.best_synthetic)


@dataclass(frozen=True, eq=False)
class ProbeInput(Generic[C]):
    """What one run of a probe gets.

    Attributes:
        dataset: name of the data set.
        test: the test images.
        trainings: by arm, in the order of the configuration; a single one unless the probe compares arms.
        config: the probe's section of the configuration.
        compared: what the comparison came to; None unless the probe compares arms.
        seed: of every random draw.
        device: where to compute.
        progress: called as the run advances.
    """

    dataset: str
    test: ImageSet
    trainings: Mapping[str, Sequence[Training]]
    config: C
    compared: ComparedArms | None
    seed: int
    device: torch.device | str = "cpu"
    progress: Progress = silent


@dataclass(frozen=True, eq=False)
class Measurement(Generic[R]):
    """What one run of a probe came to.

    Attributes:
        result: stored as JSON.
        arm: whose training was probed; empty where the arms are compared.
        pictures: file name, one of `Probe.pictures`, -> a PIL image.
    """

    result: R
    arm: str = ""
    pictures: Mapping[str, Any] = field(default_factory=dict)


class Band(Frozen):
    """Mean, lowest and highest share over some trainings; not a confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes:
        headings: of the columns, the rows' names first.
        rows: an arm or another name, and its cells: text, or shares that are shown in percent.
        note: a sentence below it.
    """

    headings: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str | Band | None]]]
    note: str = ""


@dataclass(frozen=True, eq=False)
class ReportSection:
    """What a probe adds to the report of a comparison; the plain text has the heading and the sentences.

    Attributes:
        anchor: of the section on the page.
        heading: of the section.
        sentences: what was measured, in words.
        picture: a matplotlib figure, a PIL image or the bytes of a PNG; None where there is none.
        alt: what the picture shows, for those who do not see it.
        picture_note: how the picture is read.
        table: the figures.
    """

    anchor: str
    heading: str
    sentences: Sequence[str]
    picture: Any = None
    alt: str = ""
    picture_note: str = ""
    table: Table | None = None


class Probe(ABC, Generic[C, R]):
    """One kind of measurement of trained classifiers. Modules that load torch or matplotlib are imported in methods.

    A probe runs once for each of an arm's first trainings, before the comparison, or once for all arms, after it.
    """

    name: ClassVar[str]
    """Of its section of the configuration, its stage, its MLflow runs and its file, `<name>.json`."""
    result_type: type[R]
    """What it stores."""
    compares_arms: ClassVar[bool] = False
    """It runs once, on all arms, after the comparison."""
    label: ClassVar[str] = ""
    """What a run of all arms is called in the progress."""
    breadth: ClassVar[frozenset[str]] = frozenset()
    """Keys of its section that only say how many trainings are probed: no part of what one measurement is."""
    pictures: ClassVar[tuple[str, ...]] = ()
    """Names of the pictures that it may make: JSON and pictures are then stored in a folder, `<name>/`."""

    @abstractmethod
    def count_trainings(self, config: C) -> int:
        """How many of the first trainings of each arm are probed."""

    @abstractmethod
    def run(self, probe_input: ProbeInput[C]) -> Measurement[R]:
        """Measure; equal inputs and seeds give equal results."""

    @abstractmethod
    def metrics(self, result: R) -> dict[str, float]:
        """Metrics of the MLflow run that holds the result; what is undefined is left out."""

    def tags(self, result: R) -> dict[str, str]:
        """Tags of that run."""
        return {}

    def arm_metrics(self, results: Sequence[R]) -> dict[str, float]:
        """Metrics of an arm's run, from the results of its trainings, at least one."""
        return {}

    @abstractmethod
    def report_section(self, measurements: Sequence[Measurement[R]], comparison: Comparison) -> ReportSection:
        """What page and plain text show of all measurements, at least one."""

    @abstractmethod
    def procedure(self, config: C) -> tuple[str, str]:
        """A stage's name and what was done there, for the report's account of the whole run."""

    def narrow(self, config: C) -> C:
        """The section without `breadth`: a change of that measures no training again."""
        return type(config).model_validate(config.model_dump(exclude=set(self.breadth)))
