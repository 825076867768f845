"""Short names for steps."""

from collections.abc import Sequence

from synaug_core.config import ArmConfig, TuningConfig

__all__ = ["group_name", "trial_name"]

_SHOWN = 2


def group_name(classes: Sequence[str]) -> str:
    """A group of classes in few words."""
    if len(classes) <= _SHOWN:
        return ", ".join(classes)
    return f"{', '.join(classes[:_SHOWN])} and {len(classes) - _SHOWN} more"


def trial_name(number: int, arms: Sequence[ArmConfig], config: TuningConfig) -> str:
    """A trial; where each arm has a search of its own, with the arm."""
    return f"trial {number}" if config.scope == "shared" else f"{arms[0].name} trial {number}"
