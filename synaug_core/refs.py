"""References: what travels between tasks instead of tensors."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field

from synaug_core import frozen, vocabulary
from synaug_core.classify.search_space import Tuned
from synaug_core.config import TuningConfig
from synaug_core.data.scaling import Preprocessing, Scale

__all__ = [
    "ClassifierRef",
    "ComparisonRef",
    "DatasetRef",
    "GeneratorRef",
    "ImageSetRef",
    "JudgesRef",
    "PredictionsRef",
    "ProbeRef",
    "QualityRef",
    "Reference",
    "RegisteredRef",
    "RepetitionRef",
    "RunRef",
    "SearchRef",
    "SelectionPart",
    "SelectionRef",
    "Standing",
    "SyntheticRef",
    "TrialResult",
]

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Place = Annotated[str, frozen.INCIDENTAL]


class RunRef(frozen.Frozen):
    """An MLflow run and the tags its children inherit. Where things are recorded, never part of what they are."""

    run_id: Place
    experiment: Place
    tracking_uri: Place
    tags: Annotated[dict[str, str], frozen.INCIDENTAL] = Field(default_factory=dict)


class Reference(frozen.Frozen):
    """A stored artifact: where it lies and the digest of its bytes.

    A folder's digest is the digest of its files' names and digests.
    """

    uri: Place
    sha256: Digest
    run_id: Place
    """The MLflow run that holds it."""


class ImageSetRef(Reference):
    """One Parquet file of images."""

    counts: dict[str, int]

    @property
    def images(self) -> int:
        """Number of images."""
        return sum(self.counts.values())


class SyntheticRef(ImageSetRef):
    """Synthetic images of some classes."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    planned: Annotated[int, Field(alias="wanted")]
    """Images that the plan asked for; fewer may have passed the filters."""
    planned_counts: dict[str, int] = Field(default_factory=dict)
    """The same by class; empty where an earlier version made them."""
    seconds: Annotated[float, frozen.INCIDENTAL]
    """Wall time of making and checking them."""
    notes: tuple[str, ...] = ()
    """Classes whose plan was not filled."""
    further: tuple[ImageSetRef, ...] = ()
    """The same drawn anew, for the second repetition and those after it; none where all have these images."""

    def for_repetition(self, number: int) -> Self:
        """The images of repetition 0, 1, ... of a division alone."""
        if not self.further or number == 0:
            return self.model_copy(update={"further": ()})
        drawn = self.further[number - 1]
        return self.model_copy(update={"uri": drawn.uri, "sha256": drawn.sha256, "counts": drawn.counts, "further": ()})


class DatasetRef(frozen.Frozen):
    """A data set, read, checked and split."""

    name: str
    digest: Digest
    classes: tuple[str, ...]
    channels: Literal[1, 3]
    image_size: int
    fit: vocabulary.Fit
    """How images that are not square were made so."""
    scale: Scale = Scale()
    """What was read as white of more than 8 bits."""
    train: ImageSetRef
    val: ImageSetRef
    test: ImageSetRef
    report: Reference
    """What was read, rejected and removed, as JSON."""
    rejected: int
    run_id: Place
    folder: Place = ""
    """Of a fold or draw: where its own parts lie among the artifacts of the run, as `draw-3/`."""
    held_back: Annotated[ImageSetRef | None, frozen.INCIDENTAL] = None
    """Real images for the positive control; None where no arm is one. What is made without them is the same."""

    @property
    def preprocessing(self) -> Preprocessing:
        """What a model that learnt these images has to be shown."""
        return Preprocessing(fit=self.fit, scale=self.scale)


class GeneratorRef(Reference):
    """A folder with fitted models of a group of classes."""

    kind: str
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What the user should know of the fit: a divergence, a collapse."""


class ClassifierRef(Reference):
    """A folder with one trained classifier."""

    classes: tuple[str, ...]


class JudgesRef(Reference):
    """A folder with classifiers that each left out a part of the training images."""

    folds: int


class QualityRef(Reference):
    """A report on a set of synthetic images, as JSON."""

    overall: dict[str, float]
    """Means over the classes, of the figures that are defined."""


class PredictionsRef(Reference):
    """One Parquet file of predictions."""

    images: int


class ProbeRef(Reference):
    """What one run of a probe measured: a JSON file, or a folder with that and pictures."""

    probe: str
    arm: str = ""
    """Whose training was probed; empty where the arms were compared."""
    repetition: int | None = None


class TrialResult(frozen.Frozen):
    """How one trial of a search ended."""

    number: int
    value: float | None
    """None: pruned."""
    run_id: Place


class CandidateResult(frozen.Frozen):
    """How one of an arm's candidates did in its short trainings."""

    candidate: str
    value: float | None
    """Mean balanced accuracy on the validation images; None: a training diverged."""
    run_id: Place


class PickRef(frozen.Frozen):
    """Which of its candidates an arm became in one division."""

    arm: str
    candidate: str
    scores: dict[str, float]
    """Mean balanced accuracy on the validation images, by candidate; empty where there are none to choose on."""
    candidates: int
    run_id: Place

    @property
    def note(self) -> str:
        """What the user should know of the choice."""
        if not self.scores:
            return f"{self.arm}: {self.candidate}, the first of {self.candidates}, as no validation image chose"
        return f"{self.arm}: {self.candidate}, chosen among {self.candidates} on the validation images"


class SelectionPart(frozen.Frozen):
    """What one candidate for the classifier of all arms predicted of one part of the images."""

    candidate: str
    part: int
    predictions: PredictionsRef | None
    """None: it could not be trained."""
    reason: str = ""
    """Why not."""
    run_id: Place


class Standing(frozen.Frozen):
    """How a candidate for the classifier of all arms did on images of training and validation that it had not seen."""

    candidate: str
    title: str
    parts: int
    """Of the images, on which it was judged."""
    images: int
    balanced_accuracy: float | None = None
    """None: it could not be trained."""
    standard_error: float | None = None
    macro_auc: float | None = None
    reason: str = ""
    """Why it could not be trained."""

    @property
    def place(self) -> tuple[bool, int, float, float]:
        """What candidates are ordered by, the best first: whether it could be trained, the parts that it came to, its
        balanced accuracy and its macro-AUC."""
        value = self.balanced_accuracy
        return value is None, -self.parts, -(value or 0.0), -(self.macro_auc or 0.0)


class SelectionRef(frozen.Frozen):
    """Which classifier all arms have in one division of the images, and which others there were."""

    candidate: str
    standings: tuple[Standing, ...]
    """Two or more, the best first."""
    run_id: Place

    @property
    def note(self) -> str:
        """What the user should know of the choice."""
        first, second, *_ = self.standings
        return (
            f"the classifier of all arms is {first.title}, chosen among {len(self.standings)} on real images that it "
            "had not seen, none of them a test image "
            f"({_standing_text(first)}; next is {_standing_text(second)})"
        )


def _standing_text(standing: Standing) -> str:
    if standing.balanced_accuracy is None:
        return f"{standing.title}: {standing.reason}"
    error = f" ± {100 * standing.standard_error:.1f}" if standing.standard_error is not None else ""
    return f"{standing.title} with a balanced accuracy of {100 * standing.balanced_accuracy:.1f}{error} %"


class RepetitionRef(frozen.Frozen):
    """One training of one arm: its classifier, its figures on the validation images, its predictions on the test."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    arm: str
    repetition: int
    validation: float
    """Balanced accuracy on the validation images."""
    classifier: ClassifierRef
    predictions: PredictionsRef
    validation_predictions: PredictionsRef = Field(alias="validated")
    """On the validation images."""
    real_images: dict[str, int] = Field(default_factory=dict)
    """Real training images of each class; empty where an earlier version trained."""
    synthetic_images: dict[str, int] = Field(default_factory=dict)
    """Those added to them beforehand: of the planned ones the share that the search chose. Images that are made inside
    the training loop are not among them."""
    still_learning: bool = False
    """Whether its loss was still falling when its steps ended."""
    run_id: Place


class ComparisonRef(Reference):
    """A comparison's JSON file, and the repetition whose model it would register."""

    best: RepetitionRef


class RegisteredRef(frozen.Frozen):
    """A version of a registered model, and what the promotion gate said of it."""

    name: str
    version: str
    alias: vocabulary.Alias | None
    """What points at it; None: nothing any more, newer versions came."""
    reason: str
    arm: str = ""
    """Whose model it is."""
    is_worse: bool = False
    """Whether it was worse than the champion that it was compared with, by more than the tolerance."""

    @property
    def decision(self) -> str:
        """Which version it is, of which arm, and how the gate decided on it and why, whatever came later."""
        of_arm = f", the model of {self.arm}" if self.arm else ""
        return f"Registered as {self.name} version {self.version}{of_arm}. {self.reason}"


class SearchRef(frozen.Frozen):
    """A search for hyper-parameters: its study in the storage that the settings name, and the MLflow run that holds
    its trials."""

    study: str
    seed: int
    config: TuningConfig
    initial: Tuned
    """What the first trial tries."""
    run: RunRef
