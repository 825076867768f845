"""Everything a user can choose, as frozen pydantic sections. `load.py` reads it from files and the command line."""

from synaug_core.config.arms import STANDARD_ARMS, ArmConfig
from synaug_core.config.classifier import AugmentationConfig, ClassifierConfig, Range, TuningConfig
from synaug_core.config.data import DataConfig, DuplicateConfig, SplitConfig
from synaug_core.config.generator import GeneratorConfig, SynthesisConfig
from synaug_core.config.root import ComputeConfig, Config, EvaluationConfig, PromotionConfig

__all__ = [
    "STANDARD_ARMS",
    "ArmConfig",
    "AugmentationConfig",
    "ClassifierConfig",
    "ComputeConfig",
    "Config",
    "DataConfig",
    "DuplicateConfig",
    "EvaluationConfig",
    "GeneratorConfig",
    "PromotionConfig",
    "Range",
    "SplitConfig",
    "SynthesisConfig",
    "TuningConfig",
]
