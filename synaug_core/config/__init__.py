"""Everything a user can choose, as frozen pydantic sections. `load.py` reads it from files and the command line."""

from synaug_core.config.arms import CONTROL_STRATEGIES, NAMED_ARMS, STANDARD_ARMS, ArmConfig, OversamplingConfig
from synaug_core.config.classifier import (
    HYPERPARAMETERS,
    AugmentationConfig,
    ClassifierConfig,
    Range,
    Space,
    TuningConfig,
    Value,
)
from synaug_core.config.data import DataConfig, DuplicateConfig, SplitConfig
from synaug_core.config.evaluation import BEST, EvaluationConfig, PrimaryConfig, PromotionConfig
from synaug_core.config.generator import AutoencoderConfig, DiffusionConfig, GANConfig, GeneratorConfig, VAEConfig
from synaug_core.config.probes import ExplanationConfig, RobustnessConfig
from synaug_core.config.quality import JudgeConfig, QualityConfig
from synaug_core.config.root import ComputeConfig, Config
from synaug_core.config.selection import SelectionConfig
from synaug_core.config.synthesis import FilterConfig, OnlineConfig, PasteConfig, SynthesisConfig, TargetedConfig
from synaug_core.config.watch import WatchConfig

__all__ = [
    "BEST",
    "CONTROL_STRATEGIES",
    "HYPERPARAMETERS",
    "NAMED_ARMS",
    "STANDARD_ARMS",
    "ArmConfig",
    "AugmentationConfig",
    "AutoencoderConfig",
    "ClassifierConfig",
    "ComputeConfig",
    "Config",
    "DataConfig",
    "DiffusionConfig",
    "DuplicateConfig",
    "EvaluationConfig",
    "ExplanationConfig",
    "FilterConfig",
    "GANConfig",
    "GeneratorConfig",
    "JudgeConfig",
    "OnlineConfig",
    "OversamplingConfig",
    "PasteConfig",
    "PrimaryConfig",
    "PromotionConfig",
    "QualityConfig",
    "Range",
    "RobustnessConfig",
    "SelectionConfig",
    "Space",
    "SplitConfig",
    "SynthesisConfig",
    "TargetedConfig",
    "TuningConfig",
    "VAEConfig",
    "Value",
    "WatchConfig",
]
