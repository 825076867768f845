"""What people are shown: the pages of a comparison and of a sweep, and a retraining in the Prefect UI."""

import base64
import io

from PIL.Image import Image
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from synaug_core import digests, names, refs
from synaug_core.config import Config
from synaug_core.config.sweep import SweepConfig
from synaug_core.data.imageset import ImageSet
from synaug_core.evaluate.intervals import Interval
from synaug_core.evaluate.results import Comparison, judged_arm, shown_arms
from synaug_core.evaluate.sweep import SweepResult
from synaug_core.report import answer, course, page, sheets, sweep, text, words
from synaug_core.report import sections as report_texts
from synaug_core.report.markdown.comparison import comparison_markdown
from synaug_core.report.selection import selection_section
from synaug_core.services import versions
from synaug_core.services.mlflow import artifacts, links, runs
from synaug_core.services.mlflow.tags import ArtifactPath, Tag
from synaug_core.services.settings import settings
from tasks.engine import storage
from tasks.engine.step import action, step
from tasks.probes import report_sections

__all__ = [
    "describe",
    "find_address",
    "find_compare_page",
    "read_comparison",
    "read_data_notes",
    "record_sweep",
    "show_in_prefect",
    "write_report",
]

_WIDTH = 900


@step
def write_report(
    dataset: refs.DatasetRef,
    config: Config,
    comparison: refs.ComparisonRef,
    synthetic: dict[str, tuple[refs.SyntheticRef, ...]],
    quality: dict[str, refs.QualityRef],
    probes: tuple[refs.ProbeRef, ...],
    notes: tuple[str, ...],
    selections: tuple[refs.SelectionRef, ...] = (),
    model: str = "",
) -> refs.Reference:
    """One self-contained page, and the same in plain text, on the comparison's run; `model` says what is registered."""
    run = runs.run_ref(settings(), comparison.run_id)
    compared, report = storage.load_comparison(comparison), storage.load_report(dataset)
    sections = [*([selection_section(selections)] if selections else []), *report_sections(probes, compared)]
    figures, image_counts = page.comparison_figures(compared), answer.count_synthetic(synthetic)
    train = storage.load_images(dataset.train)
    joined = _join_images(synthetic)
    document = page.comparison_page(
        compared,
        figures=figures,
        name=dataset.name,
        dataset=report,
        sheets=_draw_sheets(train, joined),
        strip=_draw_strip(train, joined, compared.rarest_class, answer.synthetic_arm(compared, image_counts)),
        image_counts=image_counts,
        model=model,
        config=config.model_dump(mode="json"),
        versions=versions.environment(),
        probes=sections,
        quality={arms: storage.load_quality(reference) for arms, reference in quality.items()},
        notes=notes,
        course=course.course(config, compared, report),
        links={"Every figure and file in MLflow": address}
        if (address := links.link_to(run)).startswith("http")
        else {},
    )
    plain = text.comparison_text(
        compared,
        name=dataset.name,
        probes=sections,
        notes=notes,
        data_notes=report.get("notes", ()),
        image_counts=image_counts,
        model=model,
    )
    with runs.recording_in(run) as recorder:
        recorder.text(plain, ArtifactPath.COMPARISON_TEXT)
        for kind, figure in figures.items():
            recorder.figure(figure, f"figures/{kind}.png")
        return storage.store_text(recorder, document, ArtifactPath.COMPARISON_PAGE)


def _join_images(synthetic: dict[str, tuple[refs.SyntheticRef, ...]]) -> dict[tuple[str, ...], ImageSet]:
    """Names of the arms that use a set of synthetic images -> the set; empty ones are left out."""
    users: dict[tuple[str, ...], list[str]] = {}
    for arm, references in synthetic.items():
        users.setdefault(tuple(r.sha256 for r in references), []).append(arm)
    loaded = {tuple(arms): storage.load_joined(synthetic[arms[0]]) for arms in users.values()}
    return {arms: images for arms, images in loaded.items() if images is not None and len(images)}


def _draw_sheets(train: ImageSet, joined: dict[tuple[str, ...], ImageSet]) -> dict[str, Image]:
    """Caption -> sheet: the training images, and synthetic ones beside them, once for each set of these."""
    pictures = {"Training images": sheets.preview(train)}
    for arms, images in joined.items():
        pictures[f"Real and synthetic images ({', '.join(arms)})"] = sheets.real_beside_synthetic(train, images)
    return pictures


def _draw_strip(
    train: ImageSet, joined: dict[tuple[str, ...], ImageSet], class_name: str, arm: str | None
) -> Image | None:
    """Real and synthetic images of one class; None where the arm has none of it."""
    images = next((images for arms, images in joined.items() if arm in arms), None)
    if images is None or not images.counts().get(class_name):
        return None
    return sheets.strip(train, images, class_name)


@action
def find_compare_page(arm_runs: dict[str, refs.RunRef], comparison: Comparison) -> str:
    """MLflow's page with the original, the best control and the best synthetic arm side by side, behind MLflow's
    address."""
    shown = dict.fromkeys(("original", comparison.best_control, judged_arm(comparison), *shown_arms(comparison)))
    return links.link_to_comparison([arm_runs[arm] for arm in shown if arm is not None and arm in arm_runs])


@action
def describe(
    dataset: refs.DatasetRef,
    comparison: Comparison,
    stored: refs.ComparisonRef,
    synthetic: dict[str, tuple[refs.SyntheticRef, ...]],
    run: refs.RunRef,
    compare_page: str,
    model: str,
) -> str:
    """What a retraining came to, as Markdown with links: for descriptions in MLflow."""
    page = links.link_to_artifact(run.model_copy(update={"run_id": stored.run_id}), ArtifactPath.COMPARISON_PAGE)
    places = {"The report": page, "The arms side by side": compare_page}
    return comparison_markdown(
        comparison,
        name=dataset.name,
        image_counts=answer.count_synthetic(synthetic),
        model=model,
        links={text: links.at_server(run.tracking_uri, place) for text, place in places.items()},
    )


@action
def read_data_notes(dataset: refs.DatasetRef) -> tuple[str, ...]:
    """What the data check saw, counted by kind: a sentence each."""
    return tuple(storage.load_report(dataset).get("notes", ()))


@action
def read_comparison(reference: refs.ComparisonRef) -> Comparison:
    """The stored comparison."""
    return storage.load_comparison(reference)


def find_address(stored: refs.Reference) -> str:
    """Where people find what was stored: a path where the store is local, else its address."""
    return str(artifacts.local_path(stored.uri) or stored.uri)


@action
def show_in_prefect(
    dataset: refs.DatasetRef, comparison: Comparison, stored: refs.ComparisonRef, run: refs.RunRef, description: str
) -> None:
    """The answer, the arms, the data and a preview of them as artifacts of the flow run, and a link to MLflow."""
    key = names.slug(dataset.name).lower().replace("_", "-")
    columns = report_texts.columns(comparison, "page")
    rows = [
        {"arm": words.plain(name)}
        | {f"{title}, %": _figure(result.metrics.get(m), m) for m, title in columns.items()}
        | {"kept": "yes" if name == comparison.chosen_arm else ""}
        for name, result in comparison.arms.items()
    ]
    create_markdown_artifact(markdown=description, key=f"{key}-verdict", description="The answer, and what to do now")
    create_table_artifact(
        table=rows,
        key=f"{key}-arms",
        description=f"Figures on the test images, with intervals. {answer.WHAT_AN_ARM_IS}",
    )
    counts = {"train": dataset.train.counts, "val": dataset.val.counts, "test": dataset.test.counts}
    create_table_artifact(
        table=[{"class": c} | {words.SPLIT_NAMES[split]: n[c] for split, n in counts.items()} for c in dataset.classes],
        key=f"{key}-images",
        description="Images of each class",
    )
    create_markdown_artifact(
        markdown=_embedded(sheets.preview(storage.load_images(dataset.train))), key=f"{key}-preview"
    )
    create_link_artifact(
        link=links.at_server(run.tracking_uri, links.link_to(run)),
        link_text="The retraining in MLflow",
        key=f"{key}-mlflow",
    )
    address = links.link_to_artifact(run.model_copy(update={"run_id": stored.run_id}), ArtifactPath.COMPARISON_PAGE)
    create_link_artifact(link=links.at_server(run.tracking_uri, address), link_text="The report", key=f"{key}-report")


def _embedded(sheet: Image) -> str:
    """A sheet as Markdown with the picture in it: Prefect's image artifacts take public addresses only."""
    sheet.thumbnail((_WIDTH, _WIDTH))
    buffer = io.BytesIO()
    sheet.convert("RGB").save(buffer, format="JPEG", quality=80)
    return f"![training images](data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()})"


def _figure(interval: Interval | None, metric: str) -> str:
    if interval is None:
        return "undefined"
    mean, low, high = (words.figure(value, metric) for value in (interval.mean, interval.low, interval.high))
    return f"{mean} ({low} to {high})"


@action
def record_sweep(experiment: str, config: SweepConfig, result: SweepResult) -> tuple[refs.RunRef, str]:
    """The run of this sweep, and where its page lies: a path where the store is local, else its address."""
    config_digest = digests.of_value(config.model_dump(mode="json"))
    run = runs.open_run(
        settings(),
        experiment=experiment,
        key=digests.of_value([config_digest, result.model_dump(mode="json", exclude={"cells": {"__all__": {"page"}}})]),
        stage="sweep",
        name=f"sweep {names.time_text()}",
        tags={Tag.CONFIG_DIGEST: config_digest},
    )
    with runs.recording_in(run) as recorder:
        recorder.params({"keys": ", ".join(result.varied), "combinations": len(result.cells)})
        recorder.metrics({"gains": sum(cell.verdict == "gain" for cell in result.cells)})
        recorder.json(config.model_dump(mode="json"), ArtifactPath.CONFIG)
        recorder.json(result.model_dump(mode="json"), "sweep.json")
        figures = sweep.sweep_figures(result)
        for metric, figure in figures.items():
            recorder.figure(figure, f"figures/{metric}.png")
        stored = storage.store_text(
            recorder,
            sweep.sweep_page(result, figures=figures, name=experiment.removeprefix("synaug/"), config=config.base),
            "sweep.html",
        )
    return run, find_address(stored)
