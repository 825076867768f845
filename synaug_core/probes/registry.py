"""All probes, in the order in which they run and are reported."""

from collections.abc import Iterator
from typing import Any

from synaug_core.config import Config
from synaug_core.config.probes import ProbeConfig
from synaug_core.probes.base import Probe
from synaug_core.probes.explanation.probe import ExplanationProbe
from synaug_core.probes.robustness.probe import RobustnessProbe

__all__ = ["PROBES", "enabled_probes"]

PROBES: dict[str, Probe[Any, Any]] = {probe.name: probe for probe in (RobustnessProbe(), ExplanationProbe())}


def enabled_probes(config: Config) -> Iterator[tuple[Probe[Any, Any], ProbeConfig]]:
    """Each probe that the configuration enables, and its section there."""
    for name, probe in PROBES.items():
        section: ProbeConfig = getattr(config, name)
        if section.enabled:
            yield probe, section
