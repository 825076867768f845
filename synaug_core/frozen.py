"""The base of everything that is kept or handed on as JSON."""

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["INCIDENTAL", "Frozen", "identity"]

INCIDENTAL = "incidental"
"""Annotates a field that says where something lies or how fast it was made, which is no part of what it is."""


class Frozen(BaseModel):
    """Values that do not change; fields that nobody knows are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


def identity(value: Any) -> Any:
    """A JSON-able value that says what something is, by the names that it is stored under and without its `INCIDENTAL`
    fields: the base of cache keys. Of an object all of whose fields are incidental nothing is left: None."""
    if isinstance(value, BaseModel):
        fields = {
            f.alias or name: getattr(value, name)
            for name, f in type(value).model_fields.items()
            if INCIDENTAL not in f.metadata
        }
        return {name: identity(field) for name, field in fields.items()} or None
    if isinstance(value, dict):
        return {str(k): identity(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [identity(v) for v in value]
    return value
