"""Short names for steps."""

from collections.abc import Sequence

__all__ = ["group_name"]

_SHOWN = 2


def group_name(classes: Sequence[str]) -> str:
    """A group of classes in few words."""
    if len(classes) <= _SHOWN:
        return ", ".join(classes)
    return f"{', '.join(classes[:_SHOWN])} and {len(classes) - _SHOWN} more"
