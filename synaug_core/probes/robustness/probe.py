"""How much of a trained classifier's accuracy is left on disturbed and attacked test images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from synaug_core.config.probes import RobustnessConfig
from synaug_core.probes.base import Measurement, Probe, ProbeInput, ReportSection, Table
from synaug_core.probes.robustness.curves import (
    ArmRobustness,
    MeanCurve,
    Robustness,
    attack_name,
    mean_curves,
    sentences,
)
from synaug_core.report import style, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from synaug_core.evaluate.results import Comparison

__all__ = ["RobustnessProbe", "robustness_figure"]

_COLUMNS = 4
_CROWD = 4
_NAMES = {
    "flip": "mirrored at the diagonal",
    "brightness": "light",
    "crop": "cropped",
}


class RobustnessProbe(Probe[RobustnessConfig, Robustness]):
    """The same test images, disturbed and attacked, for every arm and repetition."""

    name = "robustness"
    result_type = Robustness
    breadth = frozenset({"enabled", "repetitions"})

    def count_trainings(self, config: RobustnessConfig) -> int:
        """As many as the configuration says."""
        return config.repetitions

    def run(self, probe_input: ProbeInput[RobustnessConfig]) -> Measurement[Robustness]:
        """Accuracy of the one classifier that is given over the strength of each disturbance and attack."""
        from synaug_core.probes.robustness.measure import measure_robustness

        [[training]] = probe_input.trainings.values()
        classifier = training.load_classifier()
        return Measurement(
            measure_robustness(
                classifier,
                probe_input.test,
                probe_input.config,
                probe_input.seed,
                probe_input.device,
                probe_input.progress,
            )
        )

    def metrics(self, result: Robustness) -> dict[str, float]:
        """Every point, the summary, and `robust/images`."""
        return result.metrics() | {"robust/images": result.images}

    def arm_metrics(self, results: Sequence[Robustness]) -> dict[str, float]:
        """The summary's means over the trainings."""
        return mean_curves(results).metrics()

    def report_section(self, measurements: Sequence[Measurement[Robustness]], comparison: Comparison) -> ReportSection:
        """Sentences, each arm's mean curves, and their summary as a table."""
        arms = dict.fromkeys(m.arm for m in measurements)
        robustness = {arm: mean_curves([m.result for m in measurements if m.arm == arm]) for arm in arms}
        names = {"clean": "undisturbed", "perturbed": "disturbed"}
        summary = next(iter(robustness.values())).summary
        return ReportSection(
            anchor="robustness",
            heading="Disturbed and attacked images",
            sentences=sentences(robustness, comparison.best_control),
            picture=robustness_figure(robustness, comparison),
            alt="Balanced accuracy over the strength of each disturbance and attack, a line for each arm",
            picture_note="Left in each panel: undisturbed images. A line that falls later is better. Bands: lowest to "
            "highest training. Dashed: chance.",
            table=Table(
                headings=(
                    "balanced accuracy, in %",
                    *(names.get(name, f"attack {attack_name(name)}") for name in summary),
                    "trainings",
                ),
                rows=[
                    (arm, (*(r.summary.get(name) for name in summary), str(r.trainings)))
                    for arm, r in robustness.items()
                ],
                note="Means over all strengths; below each the lowest and highest training.",
            ),
        )

    def procedure(self, config: RobustnessConfig) -> tuple[str, str]:
        """How many trainings, images, disturbances and attacks."""
        disturbances = f"{len(config.perturbations)} disturbances in five severities"
        if config.attacks and config.eps:
            strengths = [f"{eps:g}" for eps in config.eps]
            eps = " and ".join(filter(None, [", ".join(strengths[:-1]), strengths[-1]]))
            disturbances += f", attacks {', '.join(config.attacks)} at {eps} of 255 grey levels"
        return (
            "Disturbed images",
            f"The first {config.repetitions} trainings of each arm saw at most {config.images} test images again: "
            f"{disturbances}.",
        )


def robustness_figure(arms: Mapping[str, ArmRobustness], comparison: Comparison) -> Figure:
    """Balanced accuracy over strength: a panel for each perturbation and, in rows of their own, each attack.

    A line is an arm's mean; its band reaches from the lowest to the highest of its trainings. The dashed line is
    chance, which attacks may go below.

    Args:
        arms: by name, measured alike; at least one.
        comparison: knows each arm's colour and marker.

    Raises:
        ValueError: nothing to draw.
    """
    curves_by_arm = {arm: {c.name: c for c in result.curves} for arm, result in arms.items()}
    first = next(iter(curves_by_arm.values()), {})
    if not first:
        raise ValueError("arms: no curve to draw")
    blocks = [[c.name for c in first.values() if c.kind == kind] for kind in ("perturbation", "attack")]
    columns = min(_COLUMNS, max(map(len, blocks)))
    rows = [block[i : i + columns] for block in blocks for i in range(0, len(block), columns)]
    legend = -(-len(arms) // 4)
    figure = style.new_figure(2.75 * columns + 0.5, 2.3 * len(rows) + 0.45 + 0.24 * legend)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    chance = 100 / max(1, len(next(iter(arms.values())).classes))
    styles = style.arm_styles(comparison)
    for line, names in zip(grid, rows, strict=True):
        low = min(_lowest(curves_by_arm, blocks[first[names[0]].kind == "attack"]), chance)
        for i, axes in enumerate(line):
            if i >= len(names):
                axes.set_visible(False)
                continue
            style.dress(axes, grid="y", small=True)
            axes.set_ylim(10 * math.floor(low / 10) - 3, 103)
            axes.tick_params(axis="y", labelleft=i == 0)
            axes.axhline(chance, color=style.GREY, lw=1, ls=(0, (4, 3)), zorder=1)
            for arm, curves in curves_by_arm.items():
                _line(axes, curves[names[i]], *styles[arm], label=words.in_figure(arm, 20), crowded=len(arms) > _CROWD)
            _label_axes(axes, first[names[i]])
    figure.supylabel("balanced accuracy, %", fontsize=10, color=style.INK)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False, fontsize=style.SMALL + 0.5)
    return figure


def _lowest(curves_by_arm: Mapping[str, Mapping[str, MeanCurve]], names: list[str]) -> float:
    """In percent, over all arms: panels of one kind have one scale."""
    return min(
        100 * p.balanced_accuracy.low for curves in curves_by_arm.values() for n in names for p in curves[n].points
    )


def _line(axes: Axes, curve: MeanCurve, colour: str, mark: str, *, label: str, crowded: bool) -> None:
    positions = range(len(curve.points))  # evenly spaced: eps doubles from point to point, and 0 has its place too
    bands = [p.balanced_accuracy for p in curve.points]
    low, high = [100 * b.low for b in bands], [100 * b.high for b in bands]
    if low != high:
        axes.fill_between(positions, low, high, color=colour, alpha=0.07 if crowded else 0.14, lw=0)
    mean = [100 * b.mean for b in bands]
    axes.plot(positions, mean, color=colour, marker=mark, ms=4, mec="white", mew=0.5, lw=1.4, label=label)


def _label_axes(axes: Axes, curve: MeanCurve) -> None:
    is_attack = curve.kind == "attack"
    style.title(axes, f"attack: {attack_name(curve.name)}" if is_attack else _NAMES.get(curve.name, curve.name))
    axes.set_xticks(range(len(curve.points)), [f"{p.strength:g}" for p in curve.points])
    unit = "largest change of a pixel, 255ths" if is_attack else "severity"
    axes.set_xlabel(unit, fontsize=style.SMALL)
