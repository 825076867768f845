"""Which classes are fitted in one call."""

from collections.abc import Mapping
from math import ceil

from synaug_core.config import GeneratorConfig

__all__ = ["groups"]


def groups(counts: Mapping[str, int], config: GeneratorConfig, *, device_type: str) -> tuple[tuple[str, ...], ...]:
    """Classes in groups that are fitted one call each; the same for the same arguments, in any order of `counts`.

    On a GPU all classes are one group, on a CPU each is a group of its own, unless `config.group_size` says
    otherwise. How many cores or workers there are has no say: it must not decide what is found again. Groups are of
    equal cost as far as that goes, the costliest first. A step's cost grows with the batch, and a batch never exceeds
    the class, hence cost = min(images, batch size).
    """
    if not counts:
        return ()
    if config.group_size is not None:
        number = ceil(len(counts) / config.group_size)
    else:
        number = 1 if device_type == "cuda" else len(counts)
    largest_group = config.group_size or len(counts)
    cost = {name: min(max(1, n), config.batch_size) for name, n in counts.items()}
    bins: list[list[str]] = [[] for _ in range(number)]
    loads = [0] * number
    for name in sorted(cost, key=lambda c: (-cost[c], c)):
        free = min(
            (i for i in range(number) if len(bins[i]) < largest_group), key=lambda i: (loads[i], len(bins[i]), i)
        )
        bins[free].append(name)
        loads[free] += cost[name]
    order = sorted(range(number), key=lambda i: (-loads[i], i))
    return tuple(tuple(sorted(bins[i])) for i in order)
