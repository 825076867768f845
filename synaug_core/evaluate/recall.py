"""What changes in each class against the best control."""

from __future__ import annotations

from math import hypot

from synaug_core.evaluate.intervals import Interval
from synaug_core.evaluate.results import Comparison

__all__ = ["judged_arm", "recall_changes", "shown_arms"]


def recall_changes(comparison: Comparison, arm: str) -> dict[str, Interval]:
    """Recall of each class in an arm minus that in the best control, with an interval, the rarest class first.

    The interval is put together from the two arms' own ones as if the arms were independent (Zou and Donner,
    Statistics in Medicine 27, 2008). They share their test images, which usually makes it too wide.
    Classes without test images are left out; empty without a best control.
    """
    found: dict[str, Interval] = {}
    control = comparison.best_control
    for name in comparison.by_rarity if control else ():
        key = f"class/{comparison.slug(name)}/recall"
        a, b = (comparison.arms[of].metrics.get(key) for of in (arm, control or ""))
        if a is not None and b is not None:
            mean = a.mean - b.mean
            low, high = hypot(a.mean - a.low, b.high - b.mean), hypot(a.high - a.mean, b.mean - b.low)
            found[name] = Interval(mean=mean, low=mean - low, high=mean + high)
    return found


def judged_arm(comparison: Comparison) -> str | None:
    """The synthetic arm that the verdict is about; None where there is none or no control to hold it against."""
    return comparison.contrasts[0].arm if comparison.contrasts else None


def shown_arms(comparison: Comparison) -> list[str]:
    """Where not all arms have room: the best control and the synthetic arm that the verdict is about, or the best
    synthetic arm where there is no verdict; the best arm where there is neither."""
    judged = judged_arm(comparison) or comparison.best_synthetic
    return [arm for arm in (comparison.best_control, judged) if arm] or [comparison.best_arm]
