"""A configuration file to begin with: what was chosen, and beside it, as comments, what is chosen most often."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from synaug_core.config import reference

__all__ = ["template"]

_OFFERED = (
    *("name", "effort", "data.source", "data.metadata", "data.classes", "data.image_size", "data.fit"),
    *("data.small_classes", "data.min_per_class", "data.split.validation", "data.split.test", "data.split.folds"),
    *("arms", "repetitions", "seed", "classifier.backbone", "classifier.augmentation.mirror"),
    *("classifier.augmentation.rotation", "tuning.trials", "compute.device"),
)
_WIDTH = 100


def template(values: Mapping[str, Any], findings: Sequence[str]) -> str:
    """The text of a YAML file that means what `values` mean.

    Args:
        values: what was chosen, as `load.starting_values` gives it.
        findings: lines on the images, for the head.
    """
    described = {key.name: key for key in reference.list_keys()}
    head = ["Written by `synaug init`. `synaug config KEY` says more of a key, `synaug run FILE --dry-run` what a run"]
    head += ["would do. Seen in the images:", *(f"  {line}" for line in findings)]
    lines = [f"# {line}".rstrip() for text in head for line in (textwrap.wrap(text, 116) or [""])]
    chosen = dict(_leaves(values, "", described))
    keys = [*_OFFERED, *(key for key in chosen if key not in _OFFERED)]
    return "\n".join([*lines, "", *_section("", keys, chosen, described, 0)]) + "\n"


def _leaves(
    values: Mapping[str, Any], prefix: str, described: Mapping[str, reference.Key]
) -> Iterator[tuple[str, Any]]:
    """Dotted keys with their values; what no key is described of is a value."""
    for name, value in values.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and any(nested.startswith(f"{key}.") for nested in described):
            yield from _leaves(value, f"{key}.", described)
        else:
            yield key, value


def _section(
    prefix: str,
    keys: Sequence[str],
    chosen: Mapping[str, Any],
    described: Mapping[str, reference.Key],
    depth: int,
    is_comment: bool = False,
) -> Iterator[str]:
    """The lines of one section: its keys in order, those below it indented; `# ` before what is not chosen, and once
    before all of a section in which nothing is (`is_comment`)."""
    indent = "  " * depth
    for name in dict.fromkeys(key.removeprefix(prefix).partition(".")[0] for key in keys if key.startswith(prefix)):
        key = f"{prefix}{name}"
        below = [nested for nested in keys if nested.startswith(f"{key}.")]
        if not below:
            entry = described.get(key)
            yield from _about(entry, indent)
            value = reference.as_yaml(chosen[key]) if key in chosen else entry.default if entry else ""
            yield f"{indent}{'' if key in chosen or is_comment else '# '}{name}: {value}"
        elif is_comment or any(nested in chosen for nested in below):
            yield f"{indent}{name}:"
            yield from _section(f"{key}.", below, chosen, described, depth + 1, is_comment)
        else:
            yield f"{indent}# {name}:"
            yield from (f"{indent}# {line}" for line in _section(f"{key}.", below, chosen, described, 1, True))
        if depth == 0:
            yield ""


def _about(entry: reference.Key | None, indent: str) -> list[str]:
    """The first sentence on a key."""
    if entry is None:
        return []
    sentence = entry.help.partition(". ")[0].rstrip(".:")
    return textwrap.wrap(sentence, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
