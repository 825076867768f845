"""Arms: the ways of training that are compared, as data."""

from typing import Annotated, Literal

from pydantic import Field

from synaug_core.config.base import Section
from synaug_core.config.generator import SynthesisConfig

__all__ = ["STANDARD_ARMS", "ArmConfig"]


class ArmConfig(Section):
    """One way of training: which images, drawn how, changed how."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
    sampling: Literal["natural", "balanced"] = "natural"
    """Training images are drawn as they come, or every class equally often."""
    augmentation: Literal["none", "traditional"] = "none"
    synthesis: SynthesisConfig | None = None
    """Synthetic images added to the training images; none: real images only."""

    @property
    def is_control(self) -> bool:
        """True for an arm without synthetic images: a gain has to beat the best of these."""
        return self.synthesis is None


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
