"""What a step records of itself: gathered in memory, written to its MLflow run in few calls.

Of images it records who they are, never their pixels.
"""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from synaug_core.refs import RunRef
from synaug_core.services import retry, secrets
from synaug_core.services.mlflow import artifacts, clients
from synaug_core.services.mlflow.tags import ArtifactPath, Tag

if TYPE_CHECKING:
    import pandas as pd

    from synaug_core.data.imageset import ImageSet

__all__ = ["Recorder", "_dataset_input", "as_tags", "manifest"]

_METRICS_A_CALL = 800
_OTHERS_A_CALL = 100
_DIGEST_LENGTH = 36
_PARAM_LENGTH, _TAG_LENGTH = 6000, 5000


class Recorder:
    """Writes to one run. Nothing is written before `flush`, but files and folders, which go at once.

    Written twice, the same values leave one trace: a metric's point that is there already is not added again, and
    a parameter keeps its first value (a later, different one is named in the tag `synaug.changed_params`).
    Paths of artifacts are where the artifact will lie within the run: `figures/loss.png`.
    """

    def __init__(self, run: RunRef) -> None:
        self.run = run
        self._client = clients.client_of(run)
        self._staging = tempfile.TemporaryDirectory(prefix="synaug-")
        self._has_staged = False
        self._params: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._points: list[tuple[str, float, int]] = []
        self._details: dict[str, float] = {}
        self._inputs: list[Any] = []

    def params(self, values: Mapping[str, Any]) -> None:
        """Parameters; nested mappings become dotted names."""
        self._params |= _as_params(values)

    def tags(self, values: Mapping[str, Any]) -> None:
        """Tags."""
        self._tags |= as_tags(values)

    def metrics(self, values: Mapping[str, float | None], step: int | None = None) -> None:
        """Metrics at one step; None, NaN and infinite values are left out."""
        self._points += [(k, float(v), step or 0) for k, v in values.items() if v is not None and _is_number(v)]

    def details(self, values: Mapping[str, float | None]) -> None:
        """Figures that are rows of `metrics.csv`, which MLflow's page shows as a table: as metrics they would be
        columns between the few that runs are compared by. What is undefined is left out."""
        self._details |= {k: float(v) for k, v in values.items() if v is not None and _is_number(v)}
        rows = io.StringIO()
        writer = csv.writer(rows, lineterminator="\n")
        writer.writerows([("figure", "value"), *((name, repr(value)) for name, value in self._details.items())])
        self.text(rows.getvalue(), ArtifactPath.DETAILS)

    def curve(self, name: str, steps: Sequence[int], values: Sequence[float]) -> None:
        """One metric over steps."""
        for step, value in zip(steps, values, strict=True):
            self.metrics({name: value}, int(step))

    def figure(self, figure: Any, path: str) -> None:
        """A matplotlib figure, a PIL image, the bytes of a picture, or a plotly figure (to an .html path)."""
        target = self._stage(path)
        if isinstance(figure, bytes):
            target.write_bytes(figure)
        elif hasattr(figure, "savefig"):
            figure.savefig(target, dpi=110, bbox_inches="tight")
        elif hasattr(figure, "write_html"):
            figure.write_html(target, include_plotlyjs=True)
        else:
            figure.save(target)

    def json(self, value: Any, path: str) -> None:
        """A JSON file."""
        self.text(json.dumps(value, indent=2, ensure_ascii=False, default=str), path)

    def text(self, text: str, path: str) -> None:
        """A text file in UTF-8."""
        self._stage(path).write_text(text, encoding="utf-8")

    def file(self, local: Path, path: str) -> None:
        """A file, stored at once as `path`."""
        artifacts.put_file(self.run, local, path)

    def folder(self, local: Path, path: str) -> None:
        """A folder, stored at once as `path`."""
        artifacts.put_folder(self.run, local, path)

    def dataset_input(
        self, images: ImageSet | pd.DataFrame, *, name: str, digest: str, context: str, source: str = ""
    ) -> None:
        """Images that the run uses: an image set, or its manifest (id, label, split, group)."""
        import pandas as pd

        table = images if isinstance(images, pd.DataFrame) else manifest(images, context)
        self._inputs.append(_dataset_input(table, name=name, digest=digest, context=context, source=source))

    def flush(self) -> None:
        """Write what was gathered; may be called at any time, and again."""
        if self._has_staged:
            with artifacts.storing(self.run):
                retry.patiently(self._client.log_artifacts, self.run.run_id, self._staging.name)
            self._staging.cleanup()
            self._staging, self._has_staged = tempfile.TemporaryDirectory(prefix="synaug-"), False
        if self._inputs:
            retry.patiently(self._client.log_inputs, self.run.run_id, self._inputs)
            self._inputs = []
        if self._params or self._tags or self._points:
            from mlflow.exceptions import MlflowException

            # Two retrainings of the same that write at once: the second is refused, and reads what the first wrote.
            retry.repeatedly(self._write_values, (MlflowException,), tries=2)

    def close(self) -> None:
        """Drop what was not written."""
        self._staging.cleanup()

    def _stage(self, path: str) -> Path:
        inner = PurePosixPath(path)
        if inner.is_absolute() or ".." in inner.parts or not inner.name:
            raise ValueError(f"an artifact's path must lie within the run: {path!r}")
        target = Path(self._staging.name, *inner.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._has_staged = True
        return target

    def _write_values(self) -> None:
        from mlflow.entities import Metric, Param, RunTag

        stored_data = retry.patiently(self._client.get_run, self.run.run_id).data
        changed = sorted(k for k, v in self._params.items() if stored_data.params.get(k, v) != v)
        if changed:
            self._tags[Tag.CHANGED_PARAMS] = ", ".join(changed)[:500]
        now = int(time.time() * 1000)
        metrics = [Metric(k, v, now, step) for k, v, step in self._new_points(stored_data.metrics)]
        params = [Param(k, v) for k, v in self._params.items() if k not in stored_data.params]
        tags = [RunTag(k, v) for k, v in self._tags.items()]
        while metrics or params or tags:
            retry.patiently(
                self._client.log_batch,
                self.run.run_id,
                metrics=metrics[:_METRICS_A_CALL],
                params=params[:_OTHERS_A_CALL],
                tags=tags[:_OTHERS_A_CALL],
            )
            metrics, params, tags = metrics[_METRICS_A_CALL:], params[_OTHERS_A_CALL:], tags[_OTHERS_A_CALL:]
        self._params, self._tags, self._points = {}, {}, []

    def _new_points(self, latest: Mapping[str, float]) -> list[tuple[str, float, int]]:
        points = list(dict.fromkeys(self._points))
        recorded: set[tuple[str, float, int]] = set()
        for name in {k for k, _, _ in points if k in latest}:
            history = retry.patiently(self._client.get_metric_history, self.run.run_id, name)
            recorded |= {(name, m.value, m.step) for m in history}
        return [p for p in points if p not in recorded]


def manifest(images: ImageSet, split: str) -> pd.DataFrame:
    """One row an image: id, label (the class's name), split, group."""
    import pandas as pd

    labels = [images.classes[i] for i in images.labels.tolist()]
    return pd.DataFrame({"id": list(images.ids), "label": labels, "split": split, "group": list(images.groups)})


def _dataset_input(table: pd.DataFrame, *, name: str, digest: str, context: str, source: str = "") -> Any:
    """An MLflow `DatasetInput`.

    Args:
        table: the manifest; only its columns and size are stored.
        name: the data set's.
        digest: the data's own; cut to the 36 characters MLflow takes.
        context: what the run used it for (`train`, `val`, `test`).
        source: where the images lie; credentials in it are left out.
    """
    import mlflow.data
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.entities import DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    # MLflow's own resolution of sources touches disk and network and warns; ours is only a name to read.
    place = CodeDatasetSource(tags={"uri": _secret_free(source) or name})
    dataset = mlflow.data.from_pandas(table, source=place, name=name, digest=digest[:_DIGEST_LENGTH])
    return DatasetInput(dataset._to_mlflow_entity(), [InputTag(MLFLOW_DATASET_CONTEXT, context)])


def _secret_free(source: str) -> str:
    """Without user, password, query and fragment."""
    head = source.partition("?")[0].partition("#")[0] if "://" in source else source
    scheme, separator, rest = head.partition("://")
    place = f"{scheme}{separator}{rest.partition('/')[0].rpartition('@')[2]}{''.join(rest.partition('/')[1:])}"
    return secrets.redacted(place if separator else head)


def _as_params(values: Mapping[str, Any]) -> dict[str, str]:
    """Nested mappings become dotted names, sequences JSON texts; credentials in addresses are left out."""
    return {name: secrets.redacted(_text(value))[:_PARAM_LENGTH] for name, value in _leaves(values)}


def as_tags(values: Mapping[str, Any]) -> dict[str, str]:
    """The texts of tags; credentials in addresses are left out."""
    return {name: secrets.redacted(_text(value))[:_TAG_LENGTH] for name, value in values.items()}


def _is_number(value: float | None) -> bool:
    """False for None, NaN and infinities: what is undefined is left out."""
    return value is not None and math.isfinite(value)


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, (list, tuple, dict)) else str(value)
