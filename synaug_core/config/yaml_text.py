"""YAML 1.2 as people expect it: `no` is a word, `1e-3` is a number, a key stands once, keys are text."""

import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from synaug_core.errors import ConfigError

__all__ = ["parse"]

_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.?[0-9]*)([eE][-+]?[0-9]+)?|[-+]?\.(inf|nan)", re.IGNORECASE)


class _Composer(Composer):
    """Refuses aliases: a few nested ones can stand for billions of values."""

    def compose_node(self, parent: Node | None, index: Any) -> Any:
        if self.parser.check_event(AliasEvent):
            mark = self.parser.get_event().start_mark
            raise ComposerError(None, None, "aliases (*name) are not read; write the value out", mark)
        return super().compose_node(parent, index)


class _Constructor(SafeConstructor):
    """Plain values; every key is the text that stands there."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if not isinstance(node, MappingNode):
            raise ConstructorError(None, None, f"expected a mapping, but found {node.id}", node.start_mark)
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or not (key.value or key.style):
                raise ConstructorError(None, None, "a key must be a word", key.start_mark)
            if key.value in values:
                raise ConstructorError(None, None, f"the key {key.value!r} occurs twice", key.start_mark)
            values[key.value] = self.construct_object(value, deep=True)
        return values

    def construct_scalar_as_text(self, node: Any) -> Any:
        """Dates, `=` and `<<` are words too."""
        return self.construct_scalar(node)

    def construct_decimal(self, node: Any) -> Any:
        """A whole number as people write it; codes such as 007, 0x1F and 0b1 are words."""
        text = self.construct_scalar(node)
        return self.construct_yaml_int(node) if _INT.fullmatch(text) else text

    def construct_fraction(self, node: Any) -> Any:
        """A number as people write it, with `.5e3` among them, which the library takes for a word; 1_0.5 is one."""
        text = self.construct_scalar(node)
        return self.construct_yaml_float(node) if node.style is None and _FLOAT.fullmatch(text) else text


for _kind, _construct in {
    "int": _Constructor.construct_decimal,
    "float": _Constructor.construct_fraction,
    "str": _Constructor.construct_fraction,
    "timestamp": _Constructor.construct_scalar_as_text,
    "value": _Constructor.construct_scalar_as_text,
    "merge": _Constructor.construct_scalar_as_text,
}.items():
    _Constructor.add_constructor(f"tag:yaml.org,2002:{_kind}", _construct)


class _Words(_Constructor):
    """Every value is the text that stands there."""


for _kind in ("int", "float", "str", "bool", "null"):
    _Words.add_constructor(f"tag:yaml.org,2002:{_kind}", _Words.construct_scalar_as_text)


def parse(text: str, source: str, *, words: bool = False) -> Any:
    """The value that a YAML text stands for, built from dict, list, str, int, float, bool and None.

    Args:
        text: one YAML document.
        source: what the text is, for the error line.
        words: leave single values as the text that stands there: `1_000`, `True`.

    Raises:
        ConfigError: not YAML, a key given twice, an alias, a tag that asks for an object.
    """
    reader = YAML(typ="safe", pure=True)
    reader.Composer, reader.Constructor = _Composer, _Words if words else _Constructor
    try:
        return reader.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark and "\n" in text.strip() else ""
        problem = (error.problem or "not readable").replace("\n", " ").removeprefix("but ")
        raise ConfigError(f"{source}{place}: cannot be read as YAML: {problem}") from error
    except YAMLError as error:
        raise ConfigError(f"{source}: not a YAML text ({' '.join(str(error).split())})") from error
    except RecursionError as error:
        raise ConfigError(f"{source}: nested too deeply") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # `!!bool maybe`, `!!int ''`, `!!map [a]`
        raise ConfigError(f"{source}: holds a value that does not fit its YAML tag") from error
