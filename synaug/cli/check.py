"""The result of a check of `synaug doctor`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Check"]


@dataclass(frozen=True)
class Check:
    """What was found; `mend` says what to do where it is a problem."""

    name: str
    status: str
    mend: str = ""

    @property
    def is_well(self) -> bool:
        """True where nothing is to be mended."""
        return not self.mend
