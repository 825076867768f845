"""The lines of a data set's report that a user should read."""

from __future__ import annotations

from collections import Counter

from synaug_core.data.report import DatasetReport

__all__ = ["notes"]

_LARGE_CLUSTER = 0.1


def notes(report: DatasetReport, images: int) -> list[str]:
    """What is unusual about the data, in plain sentences. `images` were read in all."""
    lines: list[str] = []
    if report.rejected:
        reasons = Counter(r.reason for r in report.rejected)
        most = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
        lines.append(f"{_n(len(report.rejected), 'file')} could not be used: {most}.")
    lines += _about_duplicates(report, images)
    reasons = Counter(r.reason for r in report.removed)
    lines += [f"{_n(count, 'image')} left out: {reason}." for reason, count in sorted(reasons.items())]
    if report.dropped:
        lines.append(
            "Classes left out for too few training images: "
            + ", ".join(f"{d.name} ({d.images})" for d in report.dropped) + "."
        )  # fmt: skip
    if report.thinned:
        lines.append(f"{_n(report.thinned, 'training image')} left out to make the long tail or the low-data set.")
    return lines + _about_pixels(report)


def _about_duplicates(report: DatasetReport, images: int) -> list[str]:
    lines = []
    for kind, word in (("exact", "equal"), ("near", "nearly equal")):
        groups = [d for d in report.duplicates if d.kind == kind]
        if groups:
            inside = sum(len(d.ids) for d in groups)
            lines.append(f"{inside} images are {word} to another, in {_n(len(groups), 'group')}.")
    if report.conflicts:
        lines.append(f"{_n(len(report.conflicts), 'group')} of equal images with different labels.")
    mixed = sum(d.kind == "near" and len(set(d.classes)) > 1 for d in report.duplicates)
    if mixed:
        lines.append(f"{_n(mixed, 'group')} of nearly equal images with different labels: worth a look.")
    largest = max((len(d.ids) for d in report.duplicates), default=0)
    if largest > max(10, _LARGE_CLUSTER * images):
        lines.append(
            f"One group of nearly equal images holds {largest} of {images}: if they are not, raise "
            "data.duplicates.correlation or lower data.duplicates.distance."
        )
    return lines


def _about_pixels(report: DatasetReport) -> list[str]:
    facts, size = report.facts, report.image_size
    lines = []
    if len(facts.bits) > 1:
        found = ", ".join(f"{count} of {bits} bits" for bits, count in facts.bits.items())
        lines.append(f"The images have different depths ({found}); each was scaled to its own.")
    if facts.elongated:
        lines.append(
            f"More than twice as long as wide: {_n(facts.elongated, 'image')}; only the centre square is seen."
        )
    if facts.enlarged > facts.images / 2:
        lines.append(f"{facts.enlarged} of {facts.images} images are smaller than {size} px and were enlarged.")
    return lines


def _n(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
