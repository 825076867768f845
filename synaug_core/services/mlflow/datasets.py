"""Data sets as MLflow's inputs: who the images are, never their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synaug_core.services.secrets import redacted

if TYPE_CHECKING:
    import pandas as pd

    from synaug_core.data.imageset import ImageSet

__all__ = ["dataset_input", "manifest"]

_DIGEST_LENGTH = 36


def manifest(images: ImageSet, split: str) -> pd.DataFrame:
    """One row an image: id, label (the class's name), split, group."""
    import pandas as pd

    labels = [images.classes[i] for i in images.labels.tolist()]
    return pd.DataFrame({"id": list(images.ids), "label": labels, "split": split, "group": list(images.groups)})


def dataset_input(table: pd.DataFrame, *, name: str, digest: str, context: str, source: str = "") -> Any:
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
    place = CodeDatasetSource(tags={"uri": _plain(source) or name})
    dataset = mlflow.data.from_pandas(table, source=place, name=name, digest=digest[:_DIGEST_LENGTH])
    return DatasetInput(dataset._to_mlflow_entity(), [InputTag(MLFLOW_DATASET_CONTEXT, context)])


def _plain(source: str) -> str:
    """Without user, password, query and fragment."""
    head = source.partition("?")[0].partition("#")[0] if "://" in source else source
    scheme, separator, rest = head.partition("://")
    place = f"{scheme}{separator}{rest.partition('/')[0].rpartition('@')[2]}{''.join(rest.partition('/')[1:])}"
    return redacted(place if separator else head)
