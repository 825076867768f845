"""Everything a user can choose, as frozen pydantic sections. `load.py` reads it from files and the command line."""

from synaug_core.config.arms import CONTROL_STRATEGIES, STANDARD_ARMS, ArmConfig
from synaug_core.config.classifier import AugmentationConfig, ClassifierConfig, Range, TuningConfig
from synaug_core.config.data import DataConfig, DuplicateConfig, SplitConfig
from synaug_core.config.generator import AutoencoderConfig, DiffusionConfig, GANConfig, GeneratorConfig
from synaug_core.config.quality import JudgeConfig, QualityConfig
from synaug_core.config.root import ComputeConfig, Config, EvaluationConfig, PromotionConfig
from synaug_core.config.synthesis import FilterConfig, OnlineConfig, SynthesisConfig, TargetedConfig

__all__ = [
    "CONTROL_STRATEGIES",
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
    "FilterConfig",
    "GANConfig",
    "GeneratorConfig",
    "JudgeConfig",
    "OnlineConfig",
    "PromotionConfig",
    "QualityConfig",
    "Range",
    "SplitConfig",
    "SynthesisConfig",
    "TargetedConfig",
    "TuningConfig",
]
