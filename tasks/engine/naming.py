"""Short names for steps."""

from collections.abc import Sequence

from synaug_core.config import ArmConfig, SynthesisConfig, TuningConfig

__all__ = ["group_name", "synthesis_name", "trial_name"]

_SHOWN = 2
_NAMED_FIELDS = ("detail", "path", "pairing")


def group_name(classes: Sequence[str]) -> str:
    """A group of classes in few words."""
    if len(classes) <= _SHOWN:
        return ", ".join(classes)
    return f"{', '.join(classes[:_SHOWN])} and {len(classes) - _SHOWN} more"


def synthesis_name(config: SynthesisConfig, kind: str | None) -> str:
    """A way of making images: the kind of generator, the strategy, and what is not its default."""
    words = [kind] if kind else []
    words.append(config.strategy)
    if config.strategy in ("targeted", "random"):
        words += [config.targeted.uncertainty] + ["ensemble"] * (config.targeted.posterior == "ensemble")
    usual = SynthesisConfig()
    words += [str(getattr(config, f)) for f in _NAMED_FIELDS if getattr(config, f) != getattr(usual, f)]
    return " ".join(words)


def trial_name(number: int, arms: Sequence[ArmConfig], config: TuningConfig) -> str:
    """A trial; where each arm has a search of its own, with the arm."""
    return f"trial {number}" if config.scope == "shared" else f"{arms[0].name} trial {number}"
