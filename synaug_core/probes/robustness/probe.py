"""How much of a trained classifier's accuracy is left on disturbed and attacked test images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from synaug_core.config.probes import RobustnessConfig
from synaug_core.probes.base import Measurement, Probe, ProbeInput, ReportSection
from synaug_core.probes.robustness import curves

if TYPE_CHECKING:
    from synaug_core.evaluate.results import Comparison

__all__ = ["RobustnessProbe"]


class RobustnessProbe(Probe[RobustnessConfig, curves.Robustness]):
    """The same test images, disturbed and attacked, for every arm and repetition."""

    name = "robustness"
    result_type = curves.Robustness
    breadth = frozenset({"enabled", "repetitions"})

    def count_trainings(self, config: RobustnessConfig) -> int:
        """As many as the configuration says."""
        return config.repetitions

    def run(self, given: ProbeInput[RobustnessConfig]) -> Measurement[curves.Robustness]:
        """Accuracy of the one classifier that is given over the strength of each disturbance and attack."""
        from synaug_core.probes.robustness.measure import measure

        [[training]] = given.trainings.values()
        classifier = training.load_classifier()
        return Measurement(measure(classifier, given.test, given.config, given.seed, given.device, given.progress))

    def metrics(self, result: curves.Robustness) -> dict[str, float]:
        """Every point, the summary, and `robust/images`."""
        return result.metrics() | {"robust/images": result.images}

    def arm_metrics(self, results: Sequence[curves.Robustness]) -> dict[str, float]:
        """The summary's means over the trainings."""
        return curves.mean_curves(results).metrics()

    def report_section(
        self, measurements: Sequence[Measurement[curves.Robustness]], comparison: Comparison
    ) -> ReportSection:
        """Each arm's mean curves, and their summary."""
        from synaug_core.probes.robustness.section import robustness_section

        arms = dict.fromkeys(m.arm for m in measurements)
        of_arm = {arm: curves.mean_curves([m.result for m in measurements if m.arm == arm]) for arm in arms}
        return robustness_section(of_arm, comparison)

    def procedure(self, config: RobustnessConfig) -> tuple[str, str]:
        """How many trainings, images, disturbances and attacks."""
        tried = f"{len(config.perturbations)} disturbances in five severities"
        if config.attacks:
            strengths = [f"{eps:g}" for eps in config.eps]
            eps = " and ".join(filter(None, [", ".join(strengths[:-1]), strengths[-1]]))
            tried += f", attacks {', '.join(config.attacks)} at {eps} of 255 grey levels"
        return (
            "Disturbed images",
            f"The first {config.repetitions} trainings of each arm saw at most {config.images} test images again: "
            f"{tried}.",
        )
