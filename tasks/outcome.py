"""What came of a retraining: read back for its caller, and shown in the Prefect UI."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from synaug_core import names, refs
from synaug_core.evaluate.results import Comparison
from synaug_core.metrics import shown_in
from synaug_core.services.mlflow.tags import ArtifactPath
from tasks.engine.step import action

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["place_of", "read_comparison", "show_in_prefect"]

_LOCAL_UI = "http://127.0.0.1:5000"
"""Where `synaug ui` shows a local store."""
_WIDTH = 900


@action
def read_comparison(reference: refs.ComparisonRef) -> Comparison:
    """The stored comparison."""
    from tasks.engine.loading import load_comparison

    return load_comparison(reference)


def place_of(stored: refs.Reference) -> str:
    """Where people find what was stored: a path where the store is local, else its address."""
    from synaug_core.services.mlflow.artifacts import local_path

    return str(local_path(stored.uri) or stored.uri)


@action
def show_in_prefect(
    dataset: refs.DatasetRef, comparison: Comparison, stored: refs.ComparisonRef, run: refs.RunRef
) -> None:
    """The answer, the arms, the data and a preview of them as artifacts of the flow run, and a link to MLflow."""
    from synaug_core.report.sheets import preview
    from synaug_core.services.mlflow.links import link_to, link_to_artifact
    from tasks.engine.loading import load_images

    key = names.slug(dataset.name).lower().replace("_", "-")
    columns = [comparison.key_of(metric) for metric in shown_in("page")]
    rows = [
        {"arm": name} | {m: _percent(result.metrics, m) for m in columns} for name, result in comparison.arms.items()
    ]
    create_markdown_artifact(markdown=f"# {dataset.name}\n\n{comparison.sentence}", key=f"{key}-verdict")
    create_table_artifact(table=rows, key=f"{key}-arms", description="Test figures in %, with intervals")
    counts = {"train": dataset.train.counts, "val": dataset.val.counts, "test": dataset.test.counts}
    create_table_artifact(
        table=[{"class": c} | {split: n[c] for split, n in counts.items()} for c in dataset.classes],
        key=f"{key}-images",
        description="Images by class and split",
    )
    create_markdown_artifact(markdown=_embedded(preview(load_images(dataset.train))), key=f"{key}-preview")
    create_link_artifact(link=_address(link_to(run)), link_text="The retraining in MLflow", key=f"{key}-mlflow")
    page = link_to_artifact(run.model_copy(update={"run_id": stored.run_id}), ArtifactPath.COMPARISON_PAGE)
    create_link_artifact(link=_address(page), link_text="The report", key=f"{key}-report")


def _address(link: str) -> str:
    return link if link.startswith("http") else f"{_LOCAL_UI}/{link}"


def _embedded(sheet: Image) -> str:
    """A sheet as Markdown with the picture in it: Prefect's image artifacts take public addresses only."""
    sheet.thumbnail((_WIDTH, _WIDTH))
    buffer = io.BytesIO()
    sheet.convert("RGB").save(buffer, format="JPEG", quality=80)
    return f"![training images](data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()})"


def _percent(metrics: object, name: str) -> str:
    interval = metrics.get(name) if isinstance(metrics, dict) else None
    return (
        "undefined"
        if interval is None
        else f"{100 * interval.mean:.1f} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"
    )
