"""The report of a comparison: everything that was found, on one page and as plain text, beside the comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synaug_core.config import Config
from synaug_core.refs import ComparisonRef, DatasetRef, ProbeRef, QualityRef, Reference, SyntheticRef
from synaug_core.services.mlflow.tags import ArtifactPath
from synaug_core.services.settings import settings
from tasks.engine.loading import load_images, load_joined
from tasks.engine.step import step

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["sheets_of", "write_report"]


@step
def write_report(
    dataset: DatasetRef,
    config: Config,
    comparison: ComparisonRef,
    synthetic: dict[str, tuple[SyntheticRef, ...]],
    quality: dict[str, QualityRef],
    probes: tuple[ProbeRef, ...],
    notes: tuple[str, ...],
) -> Reference:
    """One self-contained page, and the same in plain text, on the comparison's run."""
    from synaug_core.report.course import course
    from synaug_core.report.page import comparison_figures, comparison_page
    from synaug_core.report.text import comparison_text
    from synaug_core.services.mlflow.links import link_to
    from synaug_core.services.mlflow.runs import recording_in, run_ref
    from synaug_core.services.versions import environment
    from tasks.engine import loading, storing
    from tasks.probes import report_sections

    run = run_ref(settings(), comparison.run_id)
    compared, report = loading.load_comparison(comparison), loading.load_report(dataset)
    sections = report_sections(probes, compared)
    figures = comparison_figures(compared)
    page = comparison_page(
        compared,
        figures=figures,
        name=dataset.name,
        dataset=report,
        sheets=sheets_of(dataset, synthetic),
        config=config.model_dump(mode="json"),
        versions=environment(),
        probes=sections,
        quality={arms: loading.load_quality(reference) for arms, reference in quality.items()},
        notes=notes,
        course=course(config, compared, report),
        links={"Every figure and file in MLflow": address} if (address := link_to(run)).startswith("http") else {},
    )
    text = comparison_text(compared, name=dataset.name, probes=sections, notes=notes)
    with recording_in(run) as recorder:
        recorder.text(text, ArtifactPath.COMPARISON_TEXT)
        for kind, figure in figures.items():
            recorder.figure(figure, f"figures/{kind}.png")
        return storing.store_text(recorder, page, ArtifactPath.COMPARISON_PAGE)


def sheets_of(dataset: DatasetRef, synthetic: dict[str, tuple[SyntheticRef, ...]]) -> dict[str, Image]:
    """Caption -> sheet: the training images, and synthetic ones beside them, once for each set of these."""
    from synaug_core.report.sheets import preview, real_beside_synthetic

    train = load_images(dataset.train)
    sheets = {"Training images": preview(train)}
    users: dict[tuple[str, ...], list[str]] = {}
    for arm, references in synthetic.items():
        users.setdefault(tuple(r.sha256 for r in references), []).append(arm)
    for arms in users.values():
        images = load_joined(synthetic[arms[0]])
        if images is not None and len(images):
            sheets[f"Real and synthetic images ({', '.join(arms)})"] = real_beside_synthetic(train, images)
    return sheets
