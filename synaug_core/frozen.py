"""The base of everything that is kept or handed on as JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Frozen"]


class Frozen(BaseModel):
    """Values that do not change; fields that nobody knows are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
