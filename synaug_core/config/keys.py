"""What keys the configuration has, what each expects, and a plain line for everything that does not fit."""

import difflib
import json
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import annotated_types
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from synaug_core.config import arms, root

__all__ = [
    "annotation_of",
    "expectation",
    "is_open_mapping",
    "known_keys",
    "misfits",
    "problems",
    "sections_of",
    "suggest_keys",
]

_PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$": "letters, digits, - and _, at most 63, beginning with a letter or digit",
    r"^[a-z0-9][a-z0-9_-]{0,62}$": "lower-case letters, digits, - and _, at most 63, beginning with a letter or digit",
    r"^[^/\s]+/[^/]+$": "FLOW/NAME",
}
_LONGEST = 100
_NUMBERS = {int: "a whole number", float: "a number"}
_LIMITS: tuple[tuple[type[Any], str, str], ...] = (
    (annotated_types.Ge, "ge", "of at least"),
    (annotated_types.Gt, "gt", "above"),
    (annotated_types.Le, "le", "up to"),
    (annotated_types.Lt, "lt", "below"),
)


def known_keys() -> dict[str, Any]:
    """Every dotted key and its annotation; items of a list are `arms[]`, sections under names `generators.*`."""
    return dict(_walk(root.Config, ""))


def _walk(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, info in section.model_fields.items():
        annotation = annotation_of(info)
        yield f"{prefix}{name}", annotation
        for inner, place in sections_of(annotation):
            yield from _walk(inner, f"{prefix}{name}{place}.")


def annotation_of(info: FieldInfo) -> Any:
    """A field's annotation with all that limits it."""
    annotation = typing.cast(Any, info.annotation)
    return Annotated[annotation, *info.metadata] if info.metadata else annotation


def sections_of(annotation: Any, place: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    """Sections below a key, and where they stand there: itself, in a list (`[]`), or under names (`.*`)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, place
        return
    inner_place = {tuple: "[]", dict: ".*"}.get(typing.get_origin(annotation), place)
    for part in typing.get_args(annotation):
        yield from sections_of(part, inner_place)


def is_open_mapping(annotation: Any) -> bool:
    """True where the keys are the user's own, such as class names."""
    return typing.get_origin(annotation) is dict or any(map(is_open_mapping, typing.get_args(annotation)))


def suggest_keys(key: str) -> str:
    """`the nearest known key is ...`: the dotted key most like `key`, or the first 3 that end alike."""
    key = key[:_LONGEST]  # the search for what is alike takes long where a text is long
    ending = key.rpartition(".")[2]
    same_ending = [k for k in known_keys() if not {"[", "*"} & set(k) and k.rpartition(".")[2] == ending]
    if "[" not in key and len(same_ending) > 1:
        return f"the nearest known keys are {', '.join(sorted(same_ending, key=lambda k: k.count('.'))[:3])}"

    longer = sorted((k for k in known_keys() if k.startswith(key)), key=len)
    if longer:
        return f"the nearest known key is {longer[0]}"

    def likeness(candidate: str) -> float:
        whole_ratio = difflib.SequenceMatcher(None, key, candidate).ratio()
        return whole_ratio + difflib.SequenceMatcher(None, ending, candidate.rpartition(".")[2]).ratio()

    return f"the nearest known key is {_with_index(max(known_keys(), key=likeness), key)}"


def _with_index(pattern: str, key: str) -> str:
    """`arms[].sampling` as it is written where `key` stands, such as below arms[2]."""
    index = re.search(r"\[\d+\]", key)
    return pattern.replace("[]", index.group()) if index else pattern


def expectation(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """What a field takes, in words: `a whole number of at least 1`."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return expectation(args[0], [*metadata, *args[1:]])
    if origin is Literal:
        return " or ".join([", ".join(map(str, args[:-1])), str(args[-1])]) if len(args) > 1 else str(args[0])
    if origin in (typing.Union, types.UnionType):
        return ", or ".join("nothing (null)" if a is type(None) else expectation(a) for a in args)
    if origin is tuple:
        if args[-1] is not Ellipsis:
            return f"a list of {len(args)} values, each {expectation(args[0])}"
        return f"a list [a, b, ...], each {expectation(args[0])}"
    if origin is dict:
        return f"a mapping whose values are each {expectation(args[1])}"
    if annotation in _NUMBERS:
        return " ".join([_NUMBERS[annotation], *_bounds(metadata)])
    if annotation is bool:
        return "true or false"
    if annotation is Any:
        return "any value"
    if annotation is str:
        patterns = (getattr(m, "pattern", None) for m in _flat(metadata))
        return next((_PATTERNS[p] for p in patterns if p in _PATTERNS), "a word")
    if annotation is arms.ArmConfig:
        return f"a standard arm ({', '.join(arms.NAMED_ARMS)}) or a mapping of {', '.join(arms.ArmConfig.model_fields)}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"a mapping of {', '.join(annotation.model_fields)}"
    return str(annotation)


def _flat(metadata: Sequence[Any]) -> list[Any]:
    return [m for entry in metadata for m in (_flat(entry.metadata) if isinstance(entry, FieldInfo) else [entry])]


def _bounds(metadata: Sequence[Any]) -> list[str]:
    limits = {
        word: getattr(bound, attribute)
        for bound in _flat(metadata)
        for kind, attribute, word in _LIMITS
        if isinstance(bound, kind)
    }
    if "of at least" in limits and "up to" in limits:
        return [f"from {limits['of at least']} to {limits['up to']}"]
    words = [f"{word} {limit}" for word, limit in limits.items()]
    return [" and ".join(words)] if words else []


def misfits(values: Mapping[str, Any]) -> list[str]:
    """Lines for keys that are unknown, and for values that pydantic would bend: a boolean or an endless number
    where a number is expected.
    """
    return list(_misfits(values, root.Config, ""))


def _misfits(values: Mapping[str, Any], section: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, value in values.items():
        key = f"{prefix}{name}"
        info = section.model_fields.get(name)
        if info is None:
            yield f"unknown key {key[:_LONGEST]}; {suggest_keys(key)}"
            continue
        annotation = annotation_of(info)
        if (isinstance(value, bool) and "true or false" not in expectation(annotation)) or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            yield f"{key}: got {_shown(value)}, expected {expectation(annotation)}"
        for inner, place in sections_of(annotation):
            for position, entry in _entries(value, place):
                if isinstance(entry, Mapping):
                    yield from _misfits(entry, inner, f"{key}{position}.")


def _entries(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if place == "":
        yield "", value
    elif place == "[]" and isinstance(value, (list, tuple)):
        yield from ((f"[{i}]", entry) for i, entry in enumerate(value))
    elif place == ".*" and isinstance(value, Mapping):
        yield from ((f".{name}", entry) for name, entry in value.items())


def problems(error: ValidationError, values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """One plain line for each key that pydantic refused.

    Args:
        error: what pydantic raised on validating `values`.
        values: the whole configuration as given.
        prefix: dotted key of the section that was validated, "" for the whole.
    """
    lines: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_context=True):
        key, annotation, value = _locate(detail["loc"], values, prefix)
        if detail["type"] == "value_error":
            text = str(detail.get("ctx", {}).get("error", detail["msg"]))
            lines.setdefault(key, f"{key}: {text}" if key else text)
        elif detail["type"] == "missing":
            lines.setdefault(key, f"{key} is missing; expected {expectation(annotation)}")
        else:
            lines.setdefault(key, f"{key}: got {_shown(value)}, expected {expectation(annotation)}")
    return list(lines.values())


def _locate(loc: tuple[int | str, ...], values: Any, prefix: str) -> tuple[str, Any, Any]:
    """The dotted key, the annotation and the value at the part of pydantic's location that is a real place."""
    sections: list[type[BaseModel]] = [root.Config]
    key, annotation, value, named = "", typing.cast(Any, root.Config), values, False
    for part in [*filter(None, prefix.split(".")), *loc]:
        if isinstance(part, int) and isinstance(value, (list, tuple)) and sections:
            key, value = f"{key}[{part}]", value[part] if part < len(value) else None
            annotation = typing.get_args(annotation)[0] if typing.get_origin(annotation) is tuple else annotation
            continue
        owner = next((s for s in sections if part in s.model_fields), None)
        if owner is None and named and isinstance(value, Mapping) and part in value:
            key, value, named = f"{key}.{part}", value[part], False
            continue
        if owner is None:
            break
        annotation = annotation_of(owner.model_fields[str(part)])
        key = f"{key}.{part}" if key else str(part)
        value = value.get(part) if isinstance(value, Mapping) else value
        sections = [s for s, _ in sections_of(annotation)]
        named = any(place == ".*" for _, place in sections_of(annotation))
    return key, annotation, value


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
