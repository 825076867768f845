"""Division into training, validation and test images, by class, whole groups at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from synaug_core.data.report import Split
from synaug_core.seeds import derive

__all__ = ["divide"]


def divide(labels: Sequence[str], units: Sequence[str], shares: Mapping[Split, float], seed: int) -> list[Split]:
    """Give each image a side. Images of one unit stay together.

    A class's units are put in an order that depends on the seed, the class and the unit's name alone, and fill its
    sides up to `shares`; so neither the order of the files nor another class changes where an image goes. A side gets
    at least one unit of every class that has enough of them: with two units the first side of `shares` and training
    get one each, with one unit it is training. Units that hold several classes are placed first, largest first, where
    they leave the least squared deviation from the shares; what holds for single classes is then done as far as it
    goes.

    Args:
        labels: class name of each image.
        units: unit name of each image.
        shares: wanted share of the images for each side but training, most important first.
        seed: root of the order.

    Returns:
        The side of each image.
    """
    content: dict[str, Counter[str]] = defaultdict(Counter)
    for label, unit in zip(labels, units, strict=True):
        content[unit][label] += 1
    totals = Counter(labels)
    held: dict[str, Counter[Split]] = {label: Counter() for label in totals}
    side: dict[str, Split] = {}
    mixed = [u for u, c in content.items() if len(c) > 1]
    for unit in sorted(mixed, key=lambda u: (-content[u].total(), derive(seed, "split", u), u)):
        side[unit] = _least_deviation(content[unit], held, totals, shares)
        for label, count in content[unit].items():
            held[label][side[unit]] += count
    pure: dict[str, list[str]] = defaultdict(list)
    for unit, inside in content.items():
        if len(inside) == 1:
            pure[next(iter(inside))].append(unit)
    for label, own in pure.items():
        own.sort(key=lambda u: (derive(seed, "split", label, u), u))
        sizes = {u: content[u].total() for u in own}
        side |= _fill(own, sizes, held[label], totals[label], shares)
    return [side[u] for u in units]


def _fill(
    order: list[str], sizes: Mapping[str, int], held: Counter[Split], total: int, shares: Mapping[Split, float]
) -> dict[str, Split]:
    """Sides for the units of one class. `held` are the class's images that mixed units have placed already."""
    free = list(order)
    side: dict[str, Split] = {}
    empty: list[Split] = [s for s in shares if not held[s]]
    allowed = len(free) - (0 if held["train"] else 1)
    owed = set(empty[: max(0, allowed)])
    for name, share in shares.items():
        wanted = max(int(share * total + 0.5), 1) - held[name]
        owed.discard(name)
        reserve = len(owed) + (0 if held["train"] else 1)
        for unit in list(free):
            if len(free) > reserve and sizes[unit] < 2 * wanted:
                side[unit] = name
                wanted -= sizes[unit]
                free.remove(unit)
        if not held[name] and name not in side.values() and len(free) > reserve:
            smallest = min(free, key=lambda u: sizes[u])
            side[smallest] = name
            free.remove(smallest)
    return side | dict.fromkeys(free, "train")


def _least_deviation(
    unit: Counter[str], held: Mapping[str, Counter[Split]], totals: Counter[str], shares: Mapping[Split, float]
) -> Split:
    wanted: dict[Split, float] = {"train": 1.0 - sum(shares.values()), **shares}

    def added(name: Split) -> float:
        gaps = ((held[c][name] / totals[c] - wanted[name], n / totals[c]) for c, n in unit.items())
        return sum((gap + share) ** 2 - gap**2 for gap, share in gaps)

    return min(wanted, key=added)
