"""Why images were left out of a side, in words short enough for an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence

from synaug_core.data.report import Removed, Split
from synaug_core.data.sources.base import Item

__all__ = ["why_left_out"]


def why_left_out(
    items: Sequence[Item],
    removed: Sequence[Removed],
    classes: Container[str],
    sides: Container[Split | None],
    word: str,
) -> list[str]:
    """One sentence, without its full stop, for each kind of reason, the commonest first.

    Args:
        items: all images that were read.
        removed: those of them that were left out, and why.
        classes: only images of these classes are told of.
        sides: only images supplied for these sides are; None: for no side.
        word: what such an image is called, such as `training`.
    """
    reasons = {r.id: r.reason for r in removed}
    counts: Counter[str] = Counter()
    groups: dict[str, str] = {}
    for item in items:
        reason = reasons.get(item.id)
        if reason is None or item.label not in classes or item.split not in sides:
            continue
        # The reason names the group; images of many groups are told together.
        kind = reason.removeprefix(f"its group {item.group} ")
        counts[kind] += 1
        if kind != reason:
            groups.setdefault(kind, str(item.group))
    return [_sentence(count, word, kind, groups.get(kind)) for kind, count in counts.most_common()]


def _sentence(count: int, word: str, kind: str, group: str | None) -> str:
    one = count == 1
    start = f"{count} {word} image{'' if one else 's'} {'was' if one else 'were'} left out because "
    if group is None:
        return f"{start}{'it is' if one else 'they are'} {kind}"
    also = kind.replace("has ", "also has ", 1)
    example = group if one else f"such as {group}"
    return f"{start}{'its' if one else 'their'} group {also} ({example}; keep a group on one side)"
