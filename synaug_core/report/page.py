"""The page of a comparison: the answer first, then what it rests on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from synaug_core.evaluate.results import shown_arms
from synaug_core.report import html, sections, words
from synaug_core.report.answer import WHAT_AN_ARM_IS, Answer, SyntheticCounts
from synaug_core.report.figures.comparison import arm_confusion_png, forest_figure, recall_figure, waterfall_figure
from synaug_core.report.figures.reliability import operating_figure, reliability_figure
from synaug_core.report.quality import quality_tables

if TYPE_CHECKING:
    from synaug_core.evaluate.results import Comparison
    from synaug_core.probes.base import ReportSection
    from synaug_core.quality.report import QualityReport

__all__ = ["comparison_figures", "comparison_page", "index_page"]

_ROOMY = 12
_MOST_MATRICES = 8
_MOST_NOTES = 40


def comparison_figures(comparison: Comparison) -> dict[str, bytes]:
    """The figures of all arms together, as PNGs: `forest`, `recall_by_class`, `reliability`, `operating` where
    validation images chose operating points, and `waterfall` where there are steps to the judged arm."""
    figures = {
        "forest": forest_figure(comparison),
        "recall_by_class": recall_figure(comparison),
        "reliability": reliability_figure(comparison, comparison.reliability or None),
    }
    if comparison.reliability:
        figures["operating"] = operating_figure(comparison, comparison.reliability)
    if comparison.waterfall:
        figures["waterfall"] = waterfall_figure(comparison)
    return {name: html.figure_png(figure) for name, figure in figures.items()}


def comparison_page(
    comparison: Comparison,
    *,
    figures: Mapping[str, bytes] | None = None,
    name: str = "",
    dataset: Mapping[str, Any] | None = None,
    sheets: Mapping[str, html.Picture] | None = None,
    strip: html.Picture | None = None,
    image_counts: Mapping[str, SyntheticCounts] | None = None,
    model: str = "",
    config: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    probes: Sequence[ReportSection] = (),
    quality: Mapping[str, QualityReport] | None = None,
    notes: Sequence[str] = (),
    course: Sequence[tuple[str, str]] | None = None,
    links: Mapping[str, str] | None = None,
) -> str:
    """One self-contained HTML page; what is not given has no section.

    Args:
        comparison: what was found.
        figures: what `comparison_figures` made of it; None: made here.
        name: the data set's name.
        dataset: a DatasetReport as JSON: counts, rejected and removed images.
        sheets: caption -> sheet of images; large ones are shown in fewer colours.
        strip: real and synthetic images of the rarest class.
        image_counts: arm -> its synthetic images, planned and passed.
        model: which version was registered, and what the gate said of it.
        config: the configuration as JSON.
        versions: what produced it: code and libraries.
        probes: what each probe of the trained classifiers shows.
        quality: names of the arms that use a set of synthetic images -> what was found about it.
        notes: lines that a reader should know of generators, filters and the run.
        course: stage -> what was done, in order.
        links: text -> address on the web, for what lies elsewhere.
    """
    figures = comparison_figures(comparison) if figures is None else figures
    other_arms = _other_matrices(comparison)
    arm_names = shown_arms(comparison)
    columns, tabled = quality_tables(quality or {})
    values: dict[str, Any] = {
        "c": comparison,
        "name": words.plain(name, 60) if name else "",
        "answer": Answer.from_comparison(comparison, image_counts),
        "what_an_arm_is": WHAT_AN_ARM_IS,
        "strip": html.embed_sheets({"": strip}) if strip is not None else [],
        "model": model,
        "basis": sections.basis(comparison),
        "trainings": sections.trainings_name(comparison),
        "tests": sections.tests_text(comparison),
        "columns": sections.columns(comparison, "page"),
        "best": sections.find_best_values(comparison, "page"),
        "forest": html.embed_figures({"": figures["forest"]}),
        "waterfall": html.embed_figures({"": figures["waterfall"]}) if "waterfall" in figures else [],
        "steps": sections.steps(comparison),
        "recall": html.embed_figures({"": figures["recall_by_class"]}),
        "confusions": html.embed_figures({words.plain(a): arm_confusion_png(comparison, a) for a in arm_names}),
        "more_confusions": html.embed_figures({words.plain(a): arm_confusion_png(comparison, a) for a in other_arms}),
        "matrices_left": len(comparison.arms) - len(arm_names) - len(other_arms),
        "calibration": html.embed_figures({"": figures["reliability"]}),
        "operating": html.embed_figures({"": figures["operating"]}) if "operating" in figures else [],
        "probes": [_shown_probe(section) for section in probes],
        "sheets": html.embed_sheets(sheets or {}),
        "quality_columns": columns,
        "quality": tabled,
        "notes": list(notes[:_MOST_NOTES]),
        "more_notes": max(0, len(notes) - _MOST_NOTES),
        "dataset": dataset,
        "counts": sections.counts(comparison, dataset),
        "left_out": sections.count_left_out(dataset),
        "refused": sections.list_rejected_files(dataset),
        "removals": sections.count_removal_reasons(dataset),
        "course": list(course or ()),
        "limits": sections.limits(comparison),
        "config": json.dumps(config, indent=2, ensure_ascii=False, default=str) if config else "",
        "versions": versions or {},
        "links": [(text, to, to.startswith(("https://", "http://"))) for text, to in (links or {}).items()],
    }
    return html.render("comparison.html", toc=_contents(values), **values)


def index_page(comparison: Comparison, *, name: str, parts: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    """The page that opens first in a folder of exported files: the answer, and where everything is.

    Args:
        comparison: what was found.
        name: the data set's name.
        parts: heading -> path below the folder and text of each file.
    """
    return html.render("index.html", name=words.plain(name, 60), answer=Answer.from_comparison(comparison), parts=parts)


def _shown_probe(section: ReportSection) -> dict[str, Any]:
    """A probe's section, its sentences, and its picture as an address."""
    is_figure, picture = hasattr(section.picture, "savefig"), {"": section.picture}
    return {
        "section": section,
        "sentences": [words.keep_percent_on_line(sentence) for sentence in section.sentences],
        "picture": []
        if section.picture is None
        else html.embed_figures(picture)
        if is_figure
        else html.embed_sheets(picture),
        "pixels": not is_figure,
    }


def _other_matrices(comparison: Comparison) -> list[str]:
    """Those that are folded away; with many classes matrices are large and slow to draw, so none."""
    if len(comparison.classes) > _ROOMY:
        return []
    arm_names = shown_arms(comparison)
    return [a for a in comparison.arms if a not in arm_names][:_MOST_MATRICES]


def _contents(values: Mapping[str, Any]) -> dict[str, str]:
    """Anchor -> heading of the sections that there are, in their order."""
    c: Comparison = values["c"]
    rare = words.plain(c.rarest_class)
    sections = (
        ("arms", "Arms", True),
        ("contrasts", "Synthetic images against the controls", c.contrasts),
        ("waterfall", "Step by step from the real images as they are", values["waterfall"]),
        ("classes", "Classes", True),
        ("confusion", "Confusion matrices", True),
        ("operating", f"Recall of {rare} at a chosen precision", values["operating"]),
        ("calibration", "Calibration of the probabilities", True),
        *((probe["section"].anchor, probe["section"].heading, True) for probe in values["probes"]),
        ("images", "Images", values["sheets"] or values["quality"]),
        ("notes", "Notes of the run", values["notes"]),
        ("data", "Data", True),
        ("course", "Procedure, stage by stage", values["course"]),
        ("limits", "Limits of these figures", True),
        ("configuration", "Configuration", values["config"]),
        ("versions", "Versions", values["versions"]),
        ("links", "Links", values["links"]),
    )
    return {anchor: heading for anchor, heading, is_present in sections if is_present}
