"""How the missing images of a class are made, and what they must pass."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from synaug_core.config.base import Count, Section

__all__ = [
    "AlphaMode",
    "Detail",
    "Ends",
    "FilterConfig",
    "KeptDetail",
    "LatentPath",
    "OnlineConfig",
    "PasteConfig",
    "SamplingStrategy",
    "SubsetConfig",
    "SynthesisConfig",
    "TargetedConfig",
    "Uncertainty",
    "decide_detail",
]

AlphaMode = Literal["uniform", "grid"]
Ends = Literal["mean", "sample"]
Detail = Literal["auto", "none", "change", "residual"]
KeptDetail = Literal["none", "change", "residual"]
LatentPath = Literal["linear", "spherical"]
Share = Annotated[float, Field(ge=0, le=1)]
Uncertainty = Literal["mi", "entropy"]
Positive = Annotated[float, Field(gt=0)]
SamplingStrategy = (
    Literal["auto", "not majority", "not minority", "all", "minority", "every"]
    | Annotated[float, Field(gt=0)]
    | dict[str, int]
)
_LEAST_PROBABILITY = 0.1
"""Where the judges are sure of nearly all real images; of many classes, chance alone gives each less than this."""


class FilterConfig(Section):
    """What a synthetic image must pass to be used. null turns a check off."""

    label_consistency: Share | Literal["auto"] | None = "auto"
    """Least probability that a judge who has not seen the image's parents gives to its class. `auto`: 0.1, or less
    where that would drop more than a tenth of the class's real images."""
    memorisation: Annotated[float, Field(ge=0)] | None = 0.1
    """Least distance to the nearest training image, over the median distance between nearest training images."""
    near_duplicates: Annotated[float, Field(ge=0)] | None = 0.05
    """Least distance to another synthetic image of the class, over the same median."""
    blankness: Annotated[float, Field(ge=0)] | None = 0.3
    """Least contrast, over the lowest contrast of the class's training images."""
    limit: Annotated[float, Field(ge=1)] = 4.0
    """Most images made for each image wanted; then fewer are used, and the run says so."""

    def least_probability(self, of_reals: float | None) -> float | None:
        """The number behind `label_consistency`; None where labels are not checked.

        Args:
            of_reals: what a tenth of the class's real images get less than, from judges that did not see them; None:
                nobody could judge them.
        """
        if self.label_consistency != "auto":
            return self.label_consistency
        return _LEAST_PROBABILITY if of_reals is None else min(_LEAST_PROBABILITY, of_reals)

    @property
    def needs_judge(self) -> bool:
        """True where judges have to be trained first."""
        return self.label_consistency is not None


class TargetedConfig(Section):
    """Targeted synthesis (paper B, TSynD): ascent on the classifier's uncertainty in the latent space."""

    uncertainty: Uncertainty = "mi"
    """Mutual information of the posterior samples, or the entropy of their mean."""
    posterior: Literal["dropout", "ensemble"] = "dropout"
    """Samples of the classifier: dropout masks that stay the same over an ascent, or classifiers of other seeds."""
    samples: Annotated[int, Field(ge=2)] = 20
    """K: posterior samples. The plug-in MI is low by about a factor of 1 - 1/K. An ensemble has at most 5."""
    steps: Annotated[int, Field(ge=0)] = 10
    """T: ascent steps; 0 is the reconstruction."""
    step_size: Positive = 0.08
    """Length of one step, over the median latent distance between training images of the class."""
    radius: Positive = 0.2
    """Largest distance from the start, over the same median."""
    batch_size: Count = 128
    """Images that ascend at once."""


class OnlineConfig(TargetedConfig):
    """Synthesis inside the training loop, as paper B does it: from the images of each batch, after a warm-up."""

    strategy: Literal["targeted", "reconstruct", "random"] = "targeted"
    """Steps towards uncertainty, none (the decoded image), or steps in random directions of the same length."""
    generator: str = "autoencoder"
    """Name in `generators`, or a kind. It needs a latent space."""
    samples: Annotated[int, Field(ge=2)] = 8
    """K: posterior samples of the classifier."""
    steps: Annotated[int, Field(ge=0)] = 3
    """T: ascent steps of each image."""
    posterior: Literal["dropout"] = "dropout"
    """Samples of the classifier as it is at that step: dropout masks."""
    start: Share = 0.3
    """Share of the training steps before the first synthetic images."""
    every: Count = 1
    """Training steps between two synthetic batches."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Synthetic images over the images of a batch."""
    weight: Positive = 1.0
    """Weight of a synthetic image in the loss, where a real one has 1."""
    detail: Detail = "auto"
    """As `synthesis.detail`; reconstructions are decoded images under any choice."""

    def keeps_detail(self, *, enlarges: bool) -> bool:
        """Whether images have what the generator loses of the real one given back; see `decide_detail`."""
        return self.strategy != "reconstruct" and decide_detail(self.detail, enlarges=enlarges) != "none"


class PasteConfig(Section):
    """A part of an image of the class on an image of a frequent one."""

    mask: Literal["map", "box", "files"] = "map"
    """Which part: where a classifier trained on the real images finds most evidence for the class, a square, or what
    `masks` says."""
    masks: str | None = None
    """Folder with a mask of each training image of the classes that get images, white on black: `rare/7.png` for the
    image `rare/7.jpg`."""
    area: tuple[Share, Share] = (0.2, 0.6)
    """The interval of the mask's share of the image; masks of files are taken as they are."""
    blending: Literal["feather", "poisson", "none"] = "feather"
    """The mask's edge is soft; or the object takes on its surroundings' brightness and colour; or the edge is hard."""
    feather: Annotated[float, Field(gt=0, le=0.5)] = 0.04
    """Width of the soft edge, over the side of the image."""
    label: Literal["area", "kept"] = "area"
    """The image belongs to both classes by their areas; or to that of the object, as where a part is all that the label
    is for, such as a defect."""

    @model_validator(mode="after")
    def _area_is_usable(self) -> "PasteConfig":
        if not 0 < self.area[0] <= self.area[1] < 1:
            raise ValueError("area: an interval within (0, 1) is two values, the lower one first")
        if (self.mask == "files") != (self.masks is not None):
            raise ValueError("masks: the folder of masks goes with `mask: files`; set both or none")
        return self


class SubsetConfig(Section):
    """More images than are used, and which of them are taken."""

    candidates: Annotated[float, Field(gt=1, le=100)] = 10.0
    """Images made for each image that the plan asks for; those that pass the filters are the choice."""
    by: Literal["informative", "random"] = "informative"
    """`informative`: the half of middle uncertainty, and of these the ones that cover the class best, beside its real
    images, in frozen features. `random`: any, the control of the same cost."""
    uncertainty: Literal["entropy", "mi"] = "entropy"
    """Of a classifier trained on the real images: the entropy of its prediction, or the mutual information of
    `synthesis.targeted.samples` dropout masks."""


class SynthesisConfig(Section):
    """Which images are made, and from what."""

    strategy: str = "interpolate"
    """Name in the registry of strategies."""
    generator: str = "default"
    """`default` is the run's `generator`; else a name in `generators`, or a kind with its defaults."""
    sampling_strategy: SamplingStrategy = "auto"
    """imbalanced-learn's vocabulary: which classes are filled up, to the largest class's count (auto, all, not
    majority, not minority, minority), a ratio of minority to majority (two classes), or counts wanted by class.
    `every`: as many images of every class as it has, so that traces of the synthesis mark no class."""
    anew: bool = True
    """Each repetition has images of its own, drawn anew from the same generators; else all have the same ones, and what
    these happen to be like is no part of the spread over repetitions."""
    multiple: Positive = 1.0
    """Makes this many times the images that the plan asks for."""
    pairing: Literal["random", "neighbours"] = "random"
    """The second end: any other image of the class, or one of its nearest in latent space."""
    neighbours: Count = 5
    """With `pairing: neighbours`: as many of the nearest are chosen among."""
    ends: Ends = "mean"
    """An end is its posterior's mean or a sample of it."""
    path: LatentPath = "linear"
    """The way between both ends in latent space: a straight line, or along the sphere (slerp)."""
    alpha: tuple[float, float] | tuple[float, ...] = (0.0, 1.0)
    """The interval of a, or the grid's values."""
    alpha_mode: AlphaMode = "uniform"
    """a is drawn from the interval, or the grid's values are taken in turn."""
    detail: Detail = "auto"
    """What becomes of the detail that a decoder loses. `none`: the decoded image. `change`: the first parent plus
    the decoded change. `residual`: the decoded image plus what the nearer parent lost. Targeted and random steps have
    one parent, so that both are the real image plus the decoded change. `auto`: `residual` where the generator learns
    smaller images than are stored (`generator.image_size`), `none` elsewhere. Strategies without such a parent, such as
    `prior` and `reconstruct`, give decoded images under any choice."""
    mixup_alpha: Positive = 0.4
    """Strategy mixup: both parameters of the Beta distribution of the share."""
    targeted: TargetedConfig = TargetedConfig()
    paste: PasteConfig = PasteConfig()
    """Strategies paste and cutmix."""
    labels: Literal["parents", "judged"] = "parents"
    """An image has the label of its parents (or the shares of it that the strategy says), or what judges who have not
    seen its parents say of each class."""
    subset: SubsetConfig | None = None
    """Which of more images are taken; null: as many are made as are used."""
    filters: FilterConfig | None = FilterConfig()
    """What an image must pass; null: all are used."""

    @property
    def needs_judge(self) -> bool:
        """Whether judges have to be trained first: for the filter, or for the labels."""
        return self.labels == "judged" or (self.filters is not None and self.filters.needs_judge)

    @property
    def is_chosen_by_uncertainty(self) -> bool:
        """Whether a classifier has to be trained first, by whose uncertainty images are taken."""
        return self.subset is not None and self.subset.by == "informative"

    @model_validator(mode="after")
    def _alpha_is_usable(self) -> "SynthesisConfig":
        if any(not 0 <= a <= 1 for a in self.alpha) or not self.alpha:
            raise ValueError("alpha: every value must lie in [0, 1]")
        if self.alpha_mode == "uniform" and (len(self.alpha) != 2 or self.alpha[0] > self.alpha[1]):
            raise ValueError("alpha: an interval is two values, the lower one first")
        return self


def decide_detail(detail: Detail, *, enlarges: bool) -> KeptDetail:
    """What `detail` means for a generator that enlarges what its models make, or does not."""
    if detail != "auto":
        return detail
    return "residual" if enlarges else "none"
