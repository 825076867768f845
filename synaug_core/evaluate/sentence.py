"""A comparison in one plain sentence."""

from __future__ import annotations

from synaug_core.evaluate.contrast import Contrast, needed_repetitions

__all__ = ["p_text", "percent_text", "points", "sentence"]


def sentence(
    gain: bool, contrast: Contrast | None, best_control: str | None, best_synthetic: str | None, confidence: float
) -> str:
    """What was found, against what, how sure, and whether there were too few repetitions to know."""
    if best_synthetic is None:
        return "No gain shown: no arm with synthetic images was compared."
    if contrast is None:
        return f"No gain shown: there is no control (an arm without synthetic images) to compare {best_synthetic} with."
    d = contrast.difference
    amount = points(d.mean)
    where = (
        f"{amount[1:]} points of balanced accuracy below"
        if amount[0] == "-"
        else f"{amount} points of balanced accuracy over"
    )
    said = f"{contrast.arm} is {where} the best control, {best_control} "
    said += f"({percent_text(confidence)} interval {points(d.low)} to {points(d.high)}, "
    said += f"{p_text(contrast.p_value)}, {contrast.repetitions} paired repetition{'s' * (contrast.repetitions != 1)})."
    needed = needed_repetitions(1 - confidence)
    if contrast.repetitions < needed:
        what = "1 repetition is" if contrast.repetitions == 1 else f"{contrast.repetitions} repetitions are"
        said += f" {what} too few to show a gain: it takes {needed}."
    return ("Gain shown: " if gain else "No gain shown: ") + said


def points(share: float) -> str:
    """A difference of shares in signed percentage points, one decimal: `+0.4`, `-1.9`, `0.0`."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def percent_text(share: float) -> str:
    """A level in percent without needless decimals: `95 %`, `99.9 %`."""
    return f"{100 * share:.10g} %"


def p_text(p: float) -> str:
    """`p = .62`, `p = .031`, `p < .001`, `p = 1`."""
    if p >= 0.995:
        return "p = 1"
    if p < 0.001:
        return "p < .001"
    return "p = " + (f"{p:.2f}" if p >= 0.1 else f"{p:.3f}").lstrip("0")
