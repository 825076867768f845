"""Do judges who have not seen an image's parents agree with its label?"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from synaug_core.data.imageset import ImageSet
from synaug_core.frozen import Frozen
from synaug_core.quality.judge import Judges

__all__ = ["Consistency", "measure_real_consistency", "measure_unlikely_reals"]


class Consistency(Frozen):
    """How well judges recognise the class of some images; None where no judge could be asked."""

    n: int
    judged: int
    """Images for which there was a judge."""
    agreement: float | None
    """Share of the judged ones whose likeliest class is the label, in [0, 1]."""
    probability: float | None
    """Mean probability of the label, in [0, 1]."""


def measure_consistency(probabilities: NDArray[np.floating], labels: Tensor) -> Consistency:
    """Measure it from class probabilities (n, C), rows of NaN where nobody judged, and int64 labels (n,)."""
    label = labels.cpu().numpy()
    is_judged = ~np.isnan(probabilities).any(axis=1)
    n, judged_probabilities = int(is_judged.sum()), probabilities[is_judged]
    if not n:
        return Consistency(n=len(label), judged=0, agreement=None, probability=None)
    return Consistency(
        n=len(label),
        judged=n,
        agreement=float((judged_probabilities.argmax(axis=1) == label[is_judged]).mean()),
        probability=float(judged_probabilities[np.arange(n), label[is_judged]].mean()),
    )


def measure_real_consistency(judges: Judges, train: ImageSet) -> dict[str, Consistency]:
    """Measure the yardstick, by class: training images judged by those that left out their fold."""
    probabilities = judges.of_reals(train)
    by_class = {}
    for name in train.classes:
        class_rows = train.rows_of(name).cpu()
        if len(class_rows):
            by_class[name] = measure_consistency(probabilities[class_rows.numpy()], train.labels[class_rows])
    return by_class


def measure_unlikely_reals(judges: Judges, train: ImageSet, least: float) -> dict[str, float | None]:
    """What the label filter would do to real images: by class, the share of the training images to whose class the
    judges that left them out give less than `least`. None where nobody could judge any."""
    probabilities, label = judges.of_reals(train), train.labels.cpu().numpy()
    label_probabilities = probabilities[np.arange(len(label)), label]
    shares: dict[str, float | None] = {}
    for i, name in enumerate(train.classes):
        class_probabilities = label_probabilities[(label == i) & ~np.isnan(label_probabilities)]
        shares[name] = float((class_probabilities < least).mean()) if len(class_probabilities) else None
    return shares
