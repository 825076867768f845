"""YAML as people expect it: `no` is a word, `1e-3` is a number, a key stands once, keys are text."""

from __future__ import annotations

import re
from typing import Any, cast

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from synaug_core.errors import ConfigError

__all__ = ["parse"]

_RESOLVERS = (
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", "~nN"),
    ("tag:yaml.org,2002:int", r"[-+]?(?:0|[1-9][0-9_]*)", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
)


class _Loader(yaml.SafeLoader):
    """Safe YAML with the scalars of YAML 1.2, which has no yes/no booleans, octal numbers or dates."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        # A few nested aliases can stand for billions of values.
        if self.check_event(yaml.AliasEvent):
            mark = cast(Any, self).get_event().start_mark
            raise ComposerError(None, None, "aliases (*name) are not read; write the value out", mark)
        return super().compose_node(parent, index)


def _construct_map(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ConstructorError(None, None, "a key must be a word", key.start_mark)
        if key.value in found:
            raise ConstructorError(None, None, f"the key {key.value!r} stands here twice", key.start_mark)
        found[key.value] = loader.construct_object(value, deep=True)
    return found


_Loader.yaml_implicit_resolvers = {}
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)
for _tag, _pattern, _first in _RESOLVERS:
    _empty = [""] if _tag.endswith("null") else []
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), [*_first, *_empty])


def parse(text: str, where: str) -> Any:
    """The value that a YAML text stands for, built from dict, list, str, int, float, bool and None.

    Args:
        text: one YAML document.
        where: what the text is, for the error line.

    Raises:
        ConfigError: not YAML, a key given twice, an alias, a tag that asks for an object.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader: it builds plain values only
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark and "\n" in text.strip() else ""
        problem = (error.problem or "not readable").replace("\n", " ").removeprefix("but ")
        raise ConfigError(f"{where}{place}: cannot be read as YAML: {problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not a YAML text ({' '.join(str(error).split())})") from error
    except RecursionError as error:
        raise ConfigError(f"{where}: nested too deeply") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # `!!bool maybe`, `!!int ''`, `!!map [a]`
        raise ConfigError(f"{where}: holds a value that cannot be read as what it says it is") from error
