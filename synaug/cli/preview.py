"""What a run would do, before anything is started: the first look at the images, the arms, and the time it takes."""

from collections.abc import Mapping
from dataclasses import dataclass

from synaug_core.config import Config
from synaug_core.config.effort import describe_effort
from synaug_core.data.overview import Overview, take_overview
from synaug_core.duration import describe_duration, estimate_seconds

__all__ = ["Preview", "preview"]


@dataclass(frozen=True)
class Preview:
    """What is known before a run.

    Attributes:
        overview: of the images; None where a look would take long.
        plan: a sentence on the arms and the time.
        expected_seconds: stage -> about how long it takes; empty where nobody knows.
    """

    overview: Overview | None
    plan: str
    expected_seconds: Mapping[str, float]

    def lines(self) -> list[str]:
        """All of it, for people."""
        about = ["data: looked at when the run reads it"] if self.overview is None else self.overview.lines()
        return [*about, f"plan: {self.plan}"]


def preview(config: Config) -> Preview:
    """Look at the images and say what a run would do with them, in about two seconds.

    Raises:
        DataError: a run would refuse the images; the line says what to type.
    """
    overview = take_overview(config.data, seed=config.seed, most_pixels=config.most_pixels)
    if overview is None:
        return Preview(None, describe_effort(config), {})
    seconds = estimate_seconds(config, overview)
    return Preview(overview, describe_effort(config, describe_duration(seconds)), seconds)
