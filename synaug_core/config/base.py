"""The base of every configuration section."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Section"]


class Section(BaseModel):
    """Immutable; unknown keys are refused; every field has a default or is required by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
