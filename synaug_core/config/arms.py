"""Arms: the ways of training that are compared, as data."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from synaug_core.config.base import Section
from synaug_core.config.synthesis import OnlineConfig, Positive, SamplingStrategy, SynthesisConfig

__all__ = [
    "CONTROL_STRATEGIES",
    "DEFAULT_ARMS",
    "FURTHER_CONTROLS",
    "NAMED_ARMS",
    "ORACLE",
    "RECIPES",
    "STANDARD_ARMS",
    "ArmConfig",
    "OversamplingConfig",
    "Sampling",
]

Augmentation = Literal["none", "traditional", "strong"]
Mixing = Literal["none", "mixup", "cutmix"]
Sampling = Literal["natural", "balanced", "deferred"]
CONTROL_STRATEGIES = ("duplicate", "mixup", "reconstruct", "random", "transfer-random", "cutmix")
"""Images made without what a generator or a target adds: a gain has to beat these too."""
ORACLE = "oracle"
"""Strategy of the positive control: real held-back images in the synthetic ones' place."""


class OversamplingConfig(Section):
    """New points among the features of a frozen backbone: whether a rare class needs images at all."""

    method: Literal["shared_covariance", "eos", "own_covariance", "interpolation"] = "shared_covariance"
    """`shared_covariance`: the class's mean plus what an image of a frequent class has beyond the mean of its own class
    (Yin et al., arXiv 1803.09014). `eos`: on the way from an image of the class to a near one of another class (Dablain
    et al., arXiv 2207.06080). Controls: `own_covariance`, its mean plus variation of its own; `interpolation`, between
    two of its images."""
    sampling_strategy: SamplingStrategy = "auto"
    """Which classes get points, and how many; as `synthesis.sampling_strategy`."""
    multiple: Positive = 1.0
    """Makes this many times the points that the plan asks for."""
    spread: Annotated[float, Field(gt=0, le=4)] = 1.0
    """Multiplies the variation that is added to a mean, or the largest share of a way (at most 1)."""

    @property
    def is_control(self) -> bool:
        """True for points that hold nothing but what the class's own images hold."""
        return self.method in ("own_covariance", "interpolation")

    @model_validator(mode="after")
    def _way_ends_at_its_end(self) -> "OversamplingConfig":
        if self.method in ("eos", "interpolation") and self.spread > 1:
            raise ValueError(f"spread: {self.method} goes from one image towards another, so it is at most 1")
        return self


class ArmConfig(Section):
    """One way of training: which images, drawn how, changed how."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
    """What the arm is called in every table and figure."""
    sampling: Sampling = "natural"
    """Training images are drawn as they come, or every class equally often; `deferred`: as they come, and every class
    equally often in the last fifth of the steps (Cao et al., arXiv 1906.07413)."""
    loss: Literal["cross_entropy", "balanced_softmax"] = "cross_entropy"
    """`balanced_softmax` adds the logarithm of each class's share of the draws to the logits in training, which the
    prior correction otherwise takes off afterwards (Ren et al., arXiv 2007.10740)."""
    augmentation: Augmentation = "none"
    """Mirroring, turns and the like (`traditional`), or these and colour, noise, blur, erasing and one random operation
    (`strong`); their ranges stand in `classifier.augmentation`."""
    mixing: Mixing = "none"
    """Images of a batch are mixed with others of any class, as a whole (`mixup`) or by a rectangle (`cutmix`), and
    count for both classes. Images from `online` synthesis are not mixed."""
    members: Annotated[int, Field(ge=1, le=10)] = 1
    """Networks whose probabilities are averaged; each is trained for an equal part of the steps."""
    candidates: tuple[str, ...] = ()
    """Names of ways of training, the simplest first. In each division the arm becomes the one that is best on the
    validation images in short trainings; of equals the first. Such an arm has no settings of its own."""
    synthesis: SynthesisConfig | None = None
    """Synthetic images added to the training images; none: real images only."""
    online: OnlineConfig | None = None
    """Synthetic images made inside the training loop from the images of each batch."""
    oversampling: OversamplingConfig | None = None
    """New points of rare classes among the features of a frozen backbone, in place of images; needs
    `classifier.training: frozen`."""
    synthetic_weight: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Weight of a synthetic image, or point, in the loss, where a real one has 1."""
    real_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """At least this share of each class's draws are real images, however many synthetic ones there are: where a class
    is nearly all synthetic, what synthesis does to an image becomes that class."""
    pretrain: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the steps, the first ones, in which classes with synthetic images draw no more real ones than
    `real_share` says (0: synthetic images alone); the rest is on real images alone. 0: both together all the time."""
    control: bool | None = None
    """Whether a gain has to beat this arm; default: arms without synthetic images or points, and those whose images are
    duplicates, mixtures, reconstructions or random steps, or a random subset of others, or whose points come from the
    class alone."""

    @model_validator(mode="after")
    def _synthetic_images_are_there(self) -> "ArmConfig":
        usual = {"synthetic_weight": 1.0, "real_share": 0.5, "pretrain": 0.0}
        set_fields = [name for name, value in usual.items() if getattr(self, name) != value]
        without_images = "pretrain" in set_fields or self.oversampling is None
        if set_fields and self.synthesis is None and without_images:
            raise ValueError(f"{set_fields[0]} is for arms with synthesis")
        if self.is_positive_control and self.control:
            raise ValueError("control: a positive control holds images that no arm can have; no gain has to beat it")
        return self

    @model_validator(mode="after")
    def _settings_agree(self) -> "ArmConfig":
        if self.loss == "balanced_softmax" and (self.sampling != "natural" or self.pretrain):
            raise ValueError(
                "loss: balanced_softmax corrects natural draws; with balanced or deferred sampling, or with pretrain, "
                "use cross_entropy"
            )
        if self.sampling == "deferred" and self.pretrain:
            raise ValueError("sampling: deferred and pretrain both divide the steps into phases; choose one of them")
        return self

    @model_validator(mode="after")
    def _candidates_are_known(self) -> "ArmConfig":
        if not self.candidates:
            return self
        own = {"name", "candidates", "control"}
        if set_fields := [
            n for n, f in type(self).model_fields.items() if n not in own and getattr(self, n) != f.default
        ]:
            raise ValueError(f"candidates: the arm trains as one of them; leave {set_fields[0]} out")
        recipes = {name for name, arm in NAMED_ARMS.items() if not arm.has_synthetic_images and not arm.candidates}
        if unknown := [name for name in self.candidates if name not in recipes]:
            raise ValueError(f"candidates: unknown {unknown[0]!r}; known are {', '.join(sorted(recipes))}")
        return self

    def become(self, candidate: str) -> "ArmConfig":
        """The arm as one of its candidates."""
        return NAMED_ARMS[candidate].model_copy(update={"name": self.name, "control": self.control})

    @property
    def variants(self) -> "tuple[ArmConfig, ...]":
        """What the arm may become: itself, where it has no candidates."""
        return tuple(self.become(name) for name in self.candidates) or (self,)

    def training_settings(self) -> dict[str, Any]:
        """What a training reads of it besides its images and what makes more of them, for JSON: part of the key of
        the training's checkpoint."""
        return self.model_dump(mode="json", exclude={"name", "candidates", "synthesis", "online", "control"})

    @property
    def has_synthetic_images(self) -> bool:
        """True for an arm to whose real images others are added, beforehand or inside the training loop, or points to
        their features."""
        return any(added is not None for added in (self.synthesis, self.online, self.oversampling))

    @property
    def is_control(self) -> bool:
        """True for an arm that a gain has to beat."""
        if self.is_positive_control:
            return False
        if self.control is not None:
            return self.control
        if self.oversampling is not None and not self.oversampling.is_control:
            return False
        if self.synthesis is not None and self.synthesis.subset is not None and self.synthesis.subset.by == "random":
            return True
        strategies = [s.strategy for s in (self.synthesis, self.online) if s is not None]
        return all(strategy in CONTROL_STRATEGIES for strategy in strategies)

    @property
    def ingredients(self) -> int:
        """Choices that differ from those of an arm that trains on the real images as they are: the fewer, the simpler
        it is to explain and to keep up. One more than any of its candidates has, for an arm that is picked."""
        if self.candidates:
            return 1 + max(NAMED_ARMS[name].ingredients for name in self.candidates)
        fields = type(self).model_fields.items()
        return sum(getattr(self, n) != field.default for n, field in fields if n not in ("name", "control"))

    @property
    def is_positive_control(self) -> bool:
        """True for an arm with real held-back images in the synthetic ones' place: it shows what the comparison can
        show at all, and is neither a control to beat nor a candidate for a gain or for registration."""
        return self.synthesis is not None and self.synthesis.strategy == ORACLE


STANDARD_ARMS: dict[str, ArmConfig] = {
    arm.name: arm
    for arm in (
        ArmConfig(name="original"),
        ArmConfig(name="balanced", sampling="balanced"),
        ArmConfig(name="traditional", augmentation="traditional"),
        ArmConfig(name="control", sampling="balanced", augmentation="traditional"),
        ArmConfig(name="synthetic", synthesis=SynthesisConfig()),
        ArmConfig(name="combined", sampling="balanced", augmentation="traditional", synthesis=SynthesisConfig()),
    )
}
"""The six ways of training that nearly every comparison needs."""
FURTHER_CONTROLS: dict[str, ArmConfig] = {
    arm.name: arm
    for arm in (
        ArmConfig(name="balanced_softmax", augmentation="traditional", loss="balanced_softmax"),
        ArmConfig(name="deferred", sampling="deferred", augmentation="traditional"),
        ArmConfig(name="mixup", sampling="balanced", augmentation="traditional", mixing="mixup"),
        ArmConfig(name="cutmix", sampling="balanced", augmentation="traditional", mixing="cutmix"),
        ArmConfig(name="strong", sampling="balanced", augmentation="strong"),
        ArmConfig(name="ensemble", sampling="balanced", augmentation="traditional", members=3),
    )
}
"""What else helps rare classes without a synthetic image, the simplest first."""
NAMED_ARMS: dict[str, ArmConfig] = {
    **STANDARD_ARMS,
    **FURTHER_CONTROLS,
    ORACLE: STANDARD_ARMS["combined"].model_copy(
        update={"name": ORACLE, "synthesis": SynthesisConfig(strategy=ORACLE, filters=None)}
    ),
}
"""All arms that a configuration may name without writing them out."""
NAMED_ARMS["picked"] = ArmConfig(name="picked", candidates=tuple(FURTHER_CONTROLS))
DEFAULT_ARMS: dict[str, ArmConfig] = {**STANDARD_ARMS, "picked": NAMED_ARMS["picked"]}
"""The arms of a run that names none."""


def _recipe(name: str, *matched_controls: str, **settings: Any) -> tuple[ArmConfig, ...]:
    """An arm, and arms that differ from it in what makes its images new; all balanced and augmented."""
    by_arm = {name: settings} | {control: _CONTROLS[control] for control in matched_controls}
    return tuple(
        ArmConfig.model_validate({"name": arm, "sampling": "balanced", "augmentation": "traditional", **fields})
        for arm, fields in by_arm.items()
    )


_INSIDE = {"alpha": (0.2, 0.8), "detail": "residual"}
_JOINT = {"generator": "autoencoder"}
_CONTROLS: dict[str, dict[str, Any]] = {
    "duplicate": {"synthesis": {"strategy": "duplicate"}},
    "judged-reals": {"synthesis": {"strategy": "duplicate", "labels": "judged"}},
    "transfer-random": {"synthesis": {**_JOINT, "strategy": "transfer-random", "alpha": (0.2, 1.0)}},
    "targeted-random": {"synthesis": {**_JOINT, "strategy": "random", "detail": "residual"}},
    "pasted-any": {"synthesis": {"strategy": "cutmix"}},
    "subset-random": {"synthesis": {**_INSIDE, "subset": {"by": "random"}}},
    "points-own": {"oversampling": {"method": "own_covariance"}},
    "points-between": {"oversampling": {"method": "interpolation"}},
}
RECIPES: dict[str, tuple[ArmConfig, ...]] = {
    arms[0].name: arms
    for arms in (
        _recipe("interpolate", "duplicate", synthesis={}),
        _recipe("residual", "duplicate", synthesis=_INSIDE),
        _recipe("transfer", "transfer-random", synthesis={**_JOINT, "strategy": "transfer", "alpha": (0.2, 1.0)}),
        _recipe("targeted", "targeted-random", synthesis={**_JOINT, "strategy": "targeted", "detail": "residual"}),
        _recipe("paste", "pasted-any", synthesis={"strategy": "paste"}),
        _recipe("paste-box", "pasted-any", synthesis={"strategy": "paste", "paste": {"mask": "box"}}),
        _recipe("paste-kept", "pasted-any", synthesis={"strategy": "paste", "paste": {"label": "kept"}}),
        _recipe("subset", "subset-random", synthesis={**_INSIDE, "subset": {}}),
        _recipe("judged", "judged-reals", synthesis={**_INSIDE, "labels": "judged"}),
        _recipe("points-shared", "points-own", "points-between", oversampling={"method": "shared_covariance"}),
        _recipe("points-eos", "points-own", "points-between", oversampling={"method": "eos"}),
    )
}
"""Ways of adding to rare classes, by name: the arm that is judged and, after it, its matched controls. A sweep takes
them as `recipes`."""
