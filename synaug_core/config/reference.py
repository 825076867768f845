"""What is to be known of each key of the configuration, read from the sections: for `synaug config`, for
`docs/configuration.md`, and as a JSON schema for editors."""

import contextlib
import json
import textwrap
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from synaug_core.config import keys, root
from synaug_core.config.arms import NAMED_ARMS, ArmConfig
from synaug_core.config.classifier import Hyperparameter, Range
from synaug_core.errors import ConfigError

__all__ = ["Key", "as_yaml", "describe_key", "editor_schema", "list_keys", "markdown"]

_WIDTH = 100
_REQUIRED = "has to be named"
_EXAMPLES = {
    "name": "my-data",
    "source": "path/to/images",
    "metadata": "labels.csv",
    "weights_file": "weights.safetensors",
    "arms": "[original, combined]",
    "classes": "[cat, dog]",
    "per_class": "{rare: 20, default: 100}",
    "device": "cpu",
    "kind": "gan",
    "candidates": "[frozen, small_cnn]",
    "deployment": "retrain/my-data",
    "backbone": "resnet18",
    "arm": "combined",
    "options": "{growth: 2}",
    "image_size": "64",
    "input_size": "128",
}
"""Of keys whose type does not tell what is usual."""
_WHOLE = ("generator", "synthesis")
"""Sections that stand inside of others too, and are described where they stand by themselves."""
_OWN_NAMES = ("string", "integer", "boolean")
"""What YAML makes of a name that looks like a number or a truth value; `load` reads all of them as text."""


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        name: dotted; items of a list are `arms[]`, sections under names `generators.*`.
        expected: what it takes, in words.
        default: as YAML; "" for a section.
        help: what it does.
        example: a value that it takes, as YAML; "" where its value is a section.
        is_section: whether it holds further keys.
        like: the key of the same section elsewhere, where its keys are described.
    """

    name: str
    expected: str
    default: str
    help: str
    example: str
    is_section: bool = False
    like: str | None = None

    @property
    def setting(self) -> str:
        """What to type, "" where it cannot be set by itself."""
        if not self.example or {"[", "*"} & set(self.name):
            return ""
        text = f"{self.name}={self.example}"
        return f"--set '{text}'" if set(text) & set(" []{}'\"*") else f"--set {text}"


def list_keys() -> tuple[Key, ...]:
    """Every key of the configuration, in the order of its sections; those of a section that stands in several places
    once."""
    top = {s: name for name, info in root.Config.model_fields.items() for s, _ in keys.sections_of(info.annotation)}
    return tuple(_walk(root.Config, "", root.Config(), {s: name for s, name in top.items() if name in _WHOLE}))


def describe_key(name: str) -> tuple[Key, ...]:
    """A key, and those below it.

    Raises:
        ConfigError: there is none of this name; the line names the nearest.
    """
    name_given = _plain(name.strip().rstrip("."))
    everything = list_keys()
    chosen = tuple(key for key in everything if f"{_plain(key.name)}.".startswith(f"{name_given}."))
    if chosen:
        return chosen
    for key in everything:
        if key.like is not None and name_given.startswith(f"{_plain(key.name)}."):
            below = name_given.removeprefix(f"{_plain(key.name)}.")
            is_named = f"{key.name}.*.{below.partition('.')[2]}" in keys.known_keys()
            return describe_key(f"{key.like}.{below.partition('.')[2] if is_named else below}")
    raise ConfigError(f"unknown key {name_given[:_WIDTH]}; {keys.suggest_keys(name_given)}")


def _plain(name: str) -> str:
    """Without the marks of a list and of names of the user's."""
    return name.replace("[]", "").replace(".*", "")


def _walk(
    section: type[BaseModel], prefix: str, values: BaseModel | None, places: dict[type[BaseModel], str]
) -> Iterator[Key]:
    for name, info in section.model_fields.items():
        annotation = keys.annotation_of(info)
        value = getattr(values, name) if values is not None else info.get_default(call_default_factory=True)
        inner = list(keys.sections_of(annotation))
        place_described = next((p for s, _ in inner if (p := places.get(s, prefix + name)) != prefix + name), None)
        is_section = any(s is not Range and place != "[]" for s, place in inner)
        yield Key(
            name=f"{prefix}{name}",
            expected=keys.expectation(annotation),
            default=_REQUIRED if info.is_required() and values is None else _shown(value),
            help=_help(info, inner[0][0] if inner else None),
            example=_example(name, annotation, value) if not is_section else "",
            is_section=is_section,
            like=place_described,
        )
        for one, place in inner:
            if places.setdefault(one, f"{prefix}{name}{place}") == f"{prefix}{name}{place}":
                below = value if place == "" and isinstance(value, one) else None
                yield from _walk(one, f"{prefix}{name}{place}.", below, places)


def _help(info: FieldInfo, section: type[BaseModel] | None) -> str:
    if info.description:
        return " ".join(info.description.split())
    searched = next((entry for entry in info.metadata if isinstance(entry, Hyperparameter)), None)
    if searched is not None:
        return f"What the search may make of the {searched.title}; null: it is not searched."
    return " ".join((section.__doc__ or "").split()) if section is not None else ""


def _shown(value: Any) -> str:
    """A default as YAML; arms by their names."""
    if isinstance(value, BaseModel):
        return as_yaml(value.model_dump()) if isinstance(value, Range) else ""
    if isinstance(value, (list, tuple)):
        return as_yaml([entry.name if isinstance(entry, ArmConfig) else entry for entry in value])
    return as_yaml(value)


def as_yaml(value: Any) -> str:
    """A value in one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {as_yaml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(as_yaml, value)) + "]"
    if isinstance(value, str) and value and value.replace("-", "").replace("_", "").isalnum() and value[0].isalpha():
        return value if value not in ("true", "false", "null") else json.dumps(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e9:
        return f"{value:.1f}"
    return json.dumps(value, ensure_ascii=False, default=str)


def _example(name: str, annotation: Any, default: Any) -> str:
    """A value that the key takes and that is not its default, where there is one."""
    if name in _EXAMPLES:
        return _EXAMPLES[name]
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    for value in _guesses(annotation, default):
        with contextlib.suppress(ValidationError):
            if adapter.validate_json(json.dumps(value), strict=True) != default:
                return as_yaml(value)
    return as_yaml(default)


def _guesses(annotation: Any, default: Any) -> Iterator[Any]:
    """Values that a key may take, likely ones first."""
    yield from _words(annotation)
    if isinstance(default, bool) or default == "auto":
        yield default is not True
    elif isinstance(default, (int, float)):
        yield from (type(default)(default / 2), type(default)(default * 2), default + 1)
    elif isinstance(default, tuple) and default:
        yield from (list(default[:1]), [*default[:1], *default[:1]], [0.1, 0.9])
    yield from (5, 20, 100, 0.5, 0.9, 0.1, 1, 2, "NAME", "FLOW/NAME", ["NAME"], {"low": 0.1, "high": 0.5}, {})


def _words(annotation: Any) -> Iterator[Any]:
    """All literal values in an annotation."""
    if typing.get_origin(annotation) is Literal:
        yield from typing.get_args(annotation)
    else:
        for part in typing.get_args(annotation):
            yield from _words(part)


def markdown() -> str:
    """The reference as a page."""
    lines = [_HEAD]
    for key in list_keys():
        if key.is_section and key.like is None:
            lines += [f"## `{key.name}`", "", *_wrapped(key.help), ""]
            continue
        facts = f"Takes {key.expected}." if key.like is None else f"Has the keys of `{key.like}`."
        if key.default:
            facts += f" Default: `{key.default}`."
        lines += [*_wrapped(f"- **`{key.name}`**: {key.help}"), *_wrapped(f"  {facts}")]
        lines += [f"  Example: `{key.setting}`"] if key.setting else []
        lines.append("")
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent="  " * text.startswith(("- ", "  ")), break_on_hyphens=False)


def editor_schema() -> str:
    """A JSON schema of configuration files, by which editors complete and check them."""
    schema = root.Config.model_json_schema()
    definitions, properties = schema["$defs"], schema["properties"]
    arm_names = {"enum": list(NAMED_ARMS), "type": "string"}
    properties["arms"]["items"] = {"anyOf": [arm_names, properties["arms"]["items"]]}
    definitions["ArmConfig"]["properties"]["synthesis"]["anyOf"].append({"const": "default"})
    properties["sweep"] = {"type": "object", "description": "For `synaug sweep`: dotted keys, each with its values."}
    properties["name"] = {**properties["name"], "type": list(_OWN_NAMES)}
    classes = definitions["DataConfig"]["properties"]["classes"]
    classes["anyOf"][0]["items"] = {"type": list(_OWN_NAMES)}
    pretrained = definitions["ClassifierConfig"]["properties"]["pretrained"]
    definitions["ClassifierConfig"]["properties"]["pretrained"] = {
        "anyOf": [{"enum": pretrained.pop("enum")}, {"type": "boolean"}],
        **{name: value for name, value in pretrained.items() if name != "type"},
    }
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "A configuration of synaug"}
    return json.dumps(whole, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


_HEAD = """# Configuration

Every key of a configuration file, and of `--set KEY=VALUE`. `synaug config KEY` prints the same, and
`synaug config --schema` a JSON schema by which editors complete and check such files
(`configuration.schema.json` beside this page). Written by `make reference`; do not edit it.
"""
