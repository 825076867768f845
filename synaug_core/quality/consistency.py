"""Do judges who have not seen an image's parents agree with its label?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from synaug_core.data.imageset import ImageSet
from synaug_core.frozen import Frozen
from synaug_core.quality.judge import Judges

__all__ = ["Consistency", "RealLabels", "measure_consistency", "measure_real_consistency", "measure_real_labels"]

_DROPPED = 0.1
"""Share of a class's real images that a label filter may drop."""


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


@dataclass(frozen=True)
class RealLabels:
    """What judges say of a class's real images that they have not seen: what a label filter is to be held against.

    Attributes:
        probabilities: of the class, ascending, float64 (n,), n >= 1.
    """

    probabilities: NDArray[np.float64]

    @property
    def low(self) -> float:
        """The probability that at most a tenth of the images get less than."""
        return float(self.probabilities[int(_DROPPED * len(self.probabilities))])

    def share_below(self, least: float) -> float:
        """Share of the images that a filter with this threshold would drop."""
        return float((self.probabilities < least).mean())


def measure_real_labels(judges: Judges, train: ImageSet) -> dict[str, RealLabels]:
    """By class, what the judges that left them out say of the training images; classes that nobody could judge are
    left out."""
    probabilities, label = judges.of_reals(train), train.labels.cpu().numpy()
    own = probabilities[np.arange(len(label)), label]
    by_class = {name: own[(label == i) & ~np.isnan(own)] for i, name in enumerate(train.classes)}
    return {name: RealLabels(np.sort(values)) for name, values in by_class.items() if len(values)}
