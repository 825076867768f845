"""What came of a retraining: read back for its caller, and shown in the Prefect UI."""

from __future__ import annotations

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from synaug_core.evaluate.comparison import Comparison
from synaug_core.names import slug
from synaug_core.refs import ComparisonRef, DatasetRef, RunRef
from tasks.step import action

__all__ = ["comparison_page_path", "read_comparison", "show_in_prefect"]

_SHOWN = ("balanced_accuracy", "macro_auc", "accuracy", "macro_f1", "ece")


@action
def read_comparison(reference: ComparisonRef) -> Comparison:
    """The stored comparison."""
    from tasks.loading import load_comparison

    return load_comparison(reference)


@action
def comparison_page_path(reference: ComparisonRef) -> str:
    """Where the comparison's page lies: a path where the store is local, else its address."""
    return f"{reference.uri.rpartition('/')[0]}/comparison.html".removeprefix("file://")


@action
def show_in_prefect(dataset: DatasetRef, comparison: Comparison, run: RunRef) -> None:
    """The answer, the arms and the data as artifacts of the flow run, and a link to MLflow."""
    from synaug_core.services.tracking import link_to

    key = slug(dataset.name).lower().replace("_", "-")
    rarest = f"class/{comparison.slug(comparison.rarest_class)}/recall"
    rows = [
        {"arm": name} | {m: _percent(result.metrics, m) for m in (rarest, *_SHOWN)}
        for name, result in comparison.arms.items()
    ]
    create_markdown_artifact(markdown=f"# {dataset.name}\n\n{comparison.sentence}", key=f"{key}-verdict")
    create_table_artifact(table=rows, key=f"{key}-arms", description="Test figures in %, with intervals")
    counts = {"train": dataset.train.counts, "val": dataset.val.counts, "test": dataset.test.counts}
    create_table_artifact(
        table=[{"class": c} | {split: n[c] for split, n in counts.items()} for c in dataset.classes],
        key=f"{key}-images",
        description="Images by class and split",
    )
    link = link_to(run)
    if link.startswith("http"):
        create_link_artifact(link=link, link_text="The retraining in MLflow", key=f"{key}-mlflow")


def _percent(metrics: object, name: str) -> str:
    found = metrics.get(name) if isinstance(metrics, dict) else None
    return "undefined" if found is None else f"{100 * found.mean:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"
