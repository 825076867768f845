"""A comparison in plain sentences."""

from collections.abc import Iterator

from synaug_core.evaluate.contrast import LEAST, Contrast
from synaug_core.evaluate.power import Power
from synaug_core.metrics import METRICS

__all__ = [
    "MINUS",
    "against_original_text",
    "design_text",
    "p_text",
    "percent_text",
    "points",
    "positive_control_text",
    "power_text",
    "sentence",
]

MINUS = "\N{MINUS SIGN}"


def sentence(
    gain: bool,
    contrast: Contrast | None,
    controls: int,
    rival: str | None,
    confidence: float,
    *,
    metric: str = "balanced_accuracy",
    folds: int | None = None,
) -> str:
    """State the verdict: the arm and the hardest of its `controls`, the difference with its evidence, and whether
    repetitions are too few.

    `rival` is the arm that was to be judged and `metric` what it was to be judged by, where there is no
    contrast to name them.
    """
    if rival is None:
        return "No gain shown: every arm that was compared is a control."
    if not controls:
        return f"No gain shown: there is no control (an arm that a gain has to beat) to compare {rival} with."
    if contrast is None:
        return f"No gain shown: {METRICS[metric].title} cannot be computed for every arm from these images."
    among = f"the hardest of {controls} controls" if controls > 1 else "the only control"
    text = f"{_position(contrast, among)} ({_evidence(contrast, confidence)}"
    if contrast.p_adjusted != contrast.p_value:
        text += " after Holm's correction for the choice of the arm"
    pairs = contrast.repetitions
    if folds is None:
        text += f", {pairs} paired repetition{'s' * (pairs != 1)})."
        noun = "repetition"
    else:
        text += f", corrected t test, {design_text(pairs, folds)})."
        noun = "training"
    if pairs < LEAST:
        subject = f"1 {noun} is" if pairs == 1 else f"{pairs} {noun}s are"
        text += f" {subject} too few to show a gain: it takes {LEAST}."
    return ("Gain shown: " if gain else "No gain shown: ") + text


def against_original_text(contrast: Contrast, confidence: float) -> str:
    """The second declared comparison: what the judged arm gains over the real images as they are, all in all."""
    position = _position(contrast, "the real images as they are")
    return f"All in all, {position} ({_evidence(contrast, confidence)})."


def positive_control_text(contrast: Contrast, confidence: float) -> str:
    """What real images in the synthetic ones' place gained, and whether the design could show that."""
    gained = f"{_position(contrast, 'its hardest control')} ({_evidence(contrast, confidence)})"
    if contrast.shows_gain(1 - confidence):
        return f"Real images in place of the synthetic ones show a gain with this design: {gained}."
    return f"Even real images in place of the synthetic ones would not show a gain with this design: {gained}."


def _position(contrast: Contrast, rank: str) -> str:
    """`combined is +3.1 points of balanced accuracy over the hardest of 4 controls, traditional`."""
    amount = points(contrast.difference.mean)
    size, side = (amount[1:], "below") if amount[0] == MINUS else (amount, "over" if amount[0] == "+" else "away from")
    unit = f"points of {METRICS[contrast.metric].title}"
    return f"{contrast.arm} is {size} {unit} {side} {rank}, {contrast.against}"


def _evidence(contrast: Contrast, confidence: float) -> str:
    d = contrast.difference
    return f"{percent_text(confidence)} interval {points(d.low)} to {points(d.high)}, {p_text(contrast.p_adjusted)}"


def design_text(trainings: int, folds: int | None) -> str:
    """`6 repetitions`; `5-fold cross-validation`; `5-fold cross-validation repeated 4 times`."""
    if folds is None:
        return f"{trainings} repetition{'s' * (trainings != 1)}"
    times = -(-trainings // folds)
    return f"{folds}-fold cross-validation" + (f" repeated {times} times" if times > 1 else "")


def power_text(power: Power) -> str:
    """What the design can show and what more it would take, in one sentence."""
    often = f"with a probability of {percent_text(power.power)}"
    images = f"{power.images} test image{'s' * (power.images != 1)}"
    design = f"{design_text(power.repetitions * (power.folds or 1), power.folds)} on {images}"
    if power.detectable is None:
        text = f"{design} can show no gain at all"
    else:
        text = f"{design} would show a true gain of {_size(power.detectable)} or more {often}"
    return "; ".join([text, *_wishes(power)]) + "."


def _wishes(power: Power) -> Iterator[str]:
    """For each gain out of reach so far: what would show it. Those that neither way alone shows come together."""
    observed = power.observed
    gains = [(f"{_size(observed.gain)} (as seen here)", observed)] if observed else []
    gains += [(_size(n.gain), n) for n in power.wished]
    neither = []
    for gain_text, needs in gains:
        if power.detectable is not None and needs.gain >= power.detectable:
            continue
        ways = [f"{needs.repetitions:,} repetitions"] if needs.repetitions else []
        ways += [f"about {_round(needs.images):,} test images"] if needs.images else []
        if ways:
            yield f"a gain of {gain_text} would take {' or '.join(ways)}"
        else:
            neither.append(gain_text)
    if neither:
        yield f"a gain of {' or '.join(neither)} would take more of both, repetitions and test images"


def _round(images: int) -> int:
    """Two digits that count: more would pretend to know."""
    return round(images, 2 - len(str(images)))


def _size(gain: float) -> str:
    text = f"{100 * gain:.1f}"
    return f"{text.removesuffix('.0')} point{'s' * (text != '1.0')}"


def points(share: float) -> str:
    """A difference of shares in signed percentage points, one decimal, with a true minus: `+0.4`, `−1.9`, `0.0`."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", MINUS)


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
