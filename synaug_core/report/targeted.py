"""What targeted synthesis did to images: original, reconstruction, targeted, and the difference, below each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from synaug_core.report.tiles import Row, sheet

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from synaug_core.data.imageset import ImageSet
    from synaug_core.generators.base import Generator

__all__ = ["targeted_rows", "targeted_sheet"]

_MOST_GAIN = 20
_LABELS = {"targeted": "targeted", "random": "random step"}


def targeted_sheet(
    generator: Generator, train: ImageSet, synthetic: ImageSet, *, per_class: int = 8, heading: str = ""
) -> Image.Image | None:
    """Four rows for each class: training images, their reconstructions, what was made of them, what that changed.

    Args:
        generator: the one that made the images.
        train: the parents.
        synthetic: made by `targeted` or `random`; other images are left out.
        per_class: most images of a class.
        heading: a line on top.

    Returns:
        None where the generator has no latent space or no image was made so.
    """
    from synaug_core.generators.base import LatentGenerator
    from synaug_core.generators.pixels import to_uint8

    if not isinstance(generator, LatentGenerator):
        return None
    origins = [json.loads(text) for text in synthetic.provenance]
    place = {name: i for i, name in enumerate(train.ids)}
    rows: list[Row] = []
    for label, name in enumerate(synthetic.classes):
        mine = [
            i
            for i, own in enumerate(synthetic.labels.tolist())
            if own == label and "step_length" in origins[i] and name in generator.classes
        ]
        if not mine:
            continue
        told = [origins[i] for i in mine]
        shown, kind = mine[:per_class], str(told[0].get("strategy", "targeted"))
        original = train.images[[place[origins[i]["parents"][0]] for i in shown]]
        decoded = to_uint8(generator.decode(generator.encode(original, name)[0], name))
        mean = [sum(o[f"uncertainty_{w}"] for o in told) / len(told) for w in ("before", "after")]
        rows += targeted_rows(name, original, decoded, synthetic.images[shown], kind=kind, uncertainty=mean)
    return sheet(rows, heading=heading, tile=84 if len(rows) <= 16 else 64) if rows else None


def targeted_rows(
    name: str,
    original: Tensor,
    decoded: Tensor,
    made: Tensor,
    *,
    kind: str = "targeted",
    uncertainty: Sequence[float] = (),
) -> list[Row]:
    """A class's four rows.

    The difference is `made` - `decoded`: mid-grey where they are equal, brighter where `made` is; it is enlarged so
    that the strongest half per cent saturates, by the factor that is stated beside it.

    Args:
        name: the class.
        original: uint8 (n, channels, h, w).
        decoded: their reconstructions, likewise.
        made: what was made of them, likewise.
        kind: strategy of `made`.
        uncertainty: of `decoded` and of `made`, means of the class; empty where they are not known.
    """
    import torch

    change = made.float() - decoded.float()
    top = float(change.abs().flatten().quantile(0.995)) if change.numel() < 1 << 24 else float(change.abs().max())
    gain = min(_MOST_GAIN, max(1, int(127 / top))) if top else 1
    shown = (change * gain + 128).round().clamp(0, 255).to(torch.uint8)
    told = [f", uncertainty {value:.2g}" for value in uncertainty] or ["", ""]
    return [
        Row(name, "original", original, space=12),
        Row("", f"reconstruction{told[0]}", decoded),
        Row("", f"{_LABELS.get(kind, kind)}{told[1]}", made),
        Row("", f"difference \N{MULTIPLICATION SIGN} {gain}", shown),
    ]
