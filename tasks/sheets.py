"""The pictures that a comparison's page shows of its images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synaug_core.refs import DatasetRef, SyntheticRef
from tasks.loading import load_images, load_joined

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["sheets_of"]


def sheets_of(dataset: DatasetRef, synthetic: dict[str, tuple[SyntheticRef, ...]]) -> dict[str, Image]:
    """Caption -> sheet: the training images, and synthetic ones beside them, once for each set of these."""
    from synaug_core.report.sheets import preview, real_beside_synthetic

    train = load_images(dataset.train)
    found = {"Training images": preview(train)}
    users: dict[tuple[str, ...], list[str]] = {}
    for arm, references in synthetic.items():
        users.setdefault(tuple(r.sha256 for r in references), []).append(arm)
    for arms in users.values():
        made = load_joined(synthetic[arms[0]])
        if made is not None and len(made):
            found[f"Real and synthetic images ({', '.join(arms)})"] = real_beside_synthetic(train, made)
    return found
