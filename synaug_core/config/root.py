"""The whole configuration of one retraining."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from synaug_core.config import base, probes
from synaug_core.config.arms import DEFAULT_ARMS, NAMED_ARMS, ORACLE, ArmConfig
from synaug_core.config.classifier import AUTO, NETWORK_KEYS, ClassifierConfig, TuningConfig
from synaug_core.config.data import PRETRAINED_PIXELS, SMALL_PIXELS, DataConfig
from synaug_core.config.effort import Effort, with_effort
from synaug_core.config.evaluation import BEST, EvaluationConfig, PromotionConfig
from synaug_core.config.generator import GeneratorConfig
from synaug_core.config.quality import JudgeConfig, QualityConfig
from synaug_core.config.selection import SelectionConfig
from synaug_core.config.synthesis import SynthesisConfig
from synaug_core.config.watch import WatchConfig
from synaug_core.frozen import INCIDENTAL
from synaug_core.metrics import ROBUST
from synaug_core.vocabulary import Precision

__all__ = ["ComputeConfig", "Config"]


class ComputeConfig(base.Section):
    """Where and how things are computed. Only `device`, `threads` and `precision` can change a result's digits."""

    device: str = "auto"
    """auto, cpu, cuda (any GPU of the machine that is free) or cuda:N."""
    threads: base.Count = 1
    """CPU threads of one step."""
    precision: Precision = "auto"
    """Of the steps in which classifiers are trained; auto: bfloat16 on a GPU and on a CPU with AMX or AVX512-BF16,
    float32 on others. Generators, and whatever is evaluated or served, are computed in float32."""
    workers: Annotated[base.Count | None, INCIDENTAL] = None
    """Steps side by side; default: one per CPU core, or one for each GPU. On a cluster it has to be said, as that may
    grow and shrink."""
    runner: Annotated[Literal["threads", "dask"], INCIDENTAL] = "threads"
    """threads: all steps in this process; dask: in processes of this machine, or of the cluster that the variable
    SYNAUG_DASK_SCHEDULER names."""
    deadline: Annotated[Annotated[float, Field(gt=0)] | None, INCIDENTAL] = None
    """Seconds after which a single training gives up."""


class Config(base.Section):
    """One retraining: data in, arms compared, model registered."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")] = "digits"
    """Name of the data set: MLflow experiment synaug/<name>, registered model synaug-<name>."""
    effort: Effort = "medium"
    """How much is done where the other keys say nothing. `low`: an answer in minutes from the frozen classifier,
    without search, attacks or other candidates; `high`: more repetitions, arms and trials, and a closer choice."""
    data: DataConfig = DataConfig()
    arms: tuple[ArmConfig, ...] = tuple(DEFAULT_ARMS.values())
    """Names of standard arms, or arms written out."""
    repetitions: base.Count = 6
    """Paired trainings of each arm; a gain can only be shown with 6 or more."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Root of all that is drawn at random: equal seeds give equal numbers."""
    generator: GeneratorConfig = GeneratorConfig()
    generators: dict[str, GeneratorConfig] = Field(default_factory=dict)
    """Further generators by name, for arms whose `synthesis.generator` names them."""
    synthesis: SynthesisConfig = SynthesisConfig()
    """Used by every arm with synthetic images that does not set its own."""
    classifier: ClassifierConfig = ClassifierConfig(backbone=AUTO)
    selection: SelectionConfig = SelectionConfig()
    tuning: TuningConfig = TuningConfig()
    judge: JudgeConfig = JudgeConfig()
    quality: QualityConfig = QualityConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    robustness: probes.RobustnessConfig = probes.RobustnessConfig()
    explanation: probes.ExplanationConfig = probes.ExplanationConfig()
    promotion: PromotionConfig = PromotionConfig()
    watch: Annotated[WatchConfig, INCIDENTAL] = WatchConfig()
    """How recent inputs are watched changes nothing of a retraining."""
    compute: ComputeConfig = ComputeConfig()

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        return _with_arms(_with_open_classifier(with_effort(values))) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _searched_arms_are_known(self) -> "Config":
        names = {*NAMED_ARMS, *(arm.name for arm in self.arms)}
        if unknown := [name for name in self.tuning.arms if name not in names]:
            raise ValueError(f"tuning.arms: unknown arm {unknown[0]!r}; known are {', '.join(sorted(names))}")
        return self

    @model_validator(mode="after")
    def _primary_arm_can_be_judged(self) -> "Config":
        name = self.evaluation.primary.arm
        able = [arm.name for arm in self.arms if not arm.is_control and not arm.is_positive_control]
        if name != BEST and name not in able:
            arm = next((arm for arm in self.arms if arm.name == name), None)
            obstacle = "is not one of the arms" if arm is None else "is a control"
            if arm is not None and arm.is_positive_control:
                obstacle = "is the positive control"
            raise ValueError(
                f"evaluation.primary.arm: {name!r} {obstacle}; arms that are no controls: {', '.join(able) or 'none'}"
            )
        return self

    @model_validator(mode="after")
    def _primary_metric_is_measured(self) -> "Config":
        if self.evaluation.primary.metric == ROBUST and (obstacle := self._why_not_all_attacked()):
            raise ValueError(f"evaluation.primary.metric: {ROBUST} needs attacks on every training, but {obstacle}")
        return self

    @property
    def most_pixels(self) -> int:
        """Most pixels a side that images are stored with where `data.image_size` does not say: as many as the networks
        that may see them can use."""
        if not self.classifier.is_named or self.classifier.training != "scratch":
            return PRETRAINED_PIXELS
        return max(SMALL_PIXELS, self.classifier.input_size or 0)

    @property
    def attacks_every_training(self) -> bool:
        """Whether the robustness probe attacks the classifier of every training, so that arms are compared by it."""
        return not self._why_not_all_attacked()

    def _why_not_all_attacked(self) -> str:
        probe = self.robustness
        obstacles = [
            "robustness.enabled is false" * (not probe.enabled),
            f"robustness.repetitions is below {self.repetitions}" * (probe.repetitions < self.repetitions),
            "robustness.attacks or robustness.eps is empty" * (not (probe.attacks and probe.eps)),
            "data.split.folds is set, and only the first fold is attacked" * (self.data.split.folds is not None),
        ]
        return next(filter(None, obstacles), "")

    def notes_on_candidates(self) -> tuple[str, ...]:
        """A line for each arm that goes without some of its candidates."""
        lines = []
        for arm in self.arms:
            possible = self.classifier.narrow(arm).candidates
            if left_out := [name for name in arm.candidates if name not in possible]:
                names, training = ", ".join(left_out), self.classifier.training
                lines.append(f"{arm.name}: not tried: {names}; classifier.training: {training} has no training loop")
        return tuple(lines)

    def notes_on_enlarged(self, stored: int) -> tuple[str, ...]:
        """A line for each arm whose images from inside the training are enlarged without a real image's detail.

        Args:
            stored: pixels a side of the stored images.
        """
        lines = []
        for arm in self.arms:
            if arm.online is None:
                continue
            size = self.generator_named(arm.online.generator).learnt_size(stored)
            if size < stored and not arm.online.keeps_detail(enlarges=True):
                sizes = f"decoded at {size} px and enlarged to {stored} px"
                lines.append(f"{arm.name}, online: {sizes}: they are less sharp than real images")
        return tuple(lines)

    def generator_named(self, name: str) -> GeneratorConfig:
        """What `synthesis.generator` means: `default`, a name in `generators`, or a kind with its defaults."""
        if name == "default":
            config = self.generator
        else:
            config = self.generators[name] if name in self.generators else GeneratorConfig(kind=name)
        return config.mirroring_as(self.classifier.augmentation)

    @field_validator("arms")
    @classmethod
    def _arms_are_distinct(cls, arms: tuple[ArmConfig, ...]) -> tuple[ArmConfig, ...]:
        names = [arm.name for arm in arms]
        if not names:
            raise ValueError("at least one arm is needed")
        if BEST in names:
            raise ValueError(f"an arm cannot be named {BEST}: evaluation.primary.arm uses that word for the best arm")
        if repeated_names := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"several arms are named {', '.join(repeated_names)}")
        return arms


def _with_open_classifier(values: dict[str, Any]) -> dict[str, Any]:
    """Where nothing is said of the network, it is chosen on the images."""
    classifier = values.get("classifier")
    if isinstance(classifier, dict) and not NETWORK_KEYS & classifier.keys():
        return values | {"classifier": {"backbone": AUTO, **classifier}}
    return values


def _with_arms(values: dict[str, Any]) -> dict[str, Any]:
    """An arm may be a standard arm's name; `synthesis` is the default of arms that synthesise."""
    synthesis = values.get("synthesis")
    arms = values.get("arms", tuple(DEFAULT_ARMS))
    if not isinstance(arms, (list, tuple)):
        return values
    return values | {"arms": [_expand(arm, synthesis) for arm in arms]}


def _expand(arm: Any, synthesis: Any) -> Any:
    if isinstance(arm, str):
        if arm not in NAMED_ARMS:
            raise ValueError(f"arms: unknown arm {arm!r}; known are {', '.join(NAMED_ARMS)}")
        standard = NAMED_ARMS[arm]
        if not synthesis or standard.synthesis is None:
            return standard
        section = _section(synthesis)
        if standard.is_positive_control:  # as many images as the others get, but real ones
            section = section.model_copy(update={"strategy": ORACLE, "filters": None})
        return standard.model_copy(update={"synthesis": section})
    if isinstance(arm, dict) and arm.get("synthesis") == "default":
        return arm | {"synthesis": _section(synthesis) if synthesis else SynthesisConfig()}
    return arm


def _section(value: Any) -> SynthesisConfig:
    return value if isinstance(value, SynthesisConfig) else SynthesisConfig.model_validate(value)
