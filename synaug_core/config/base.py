"""What every configuration section stands on."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Count", "Section"]

Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Immutable; unknown keys and endless numbers are refused; every field has a default or is required by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
