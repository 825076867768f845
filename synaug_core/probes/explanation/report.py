"""Where the arms look for the true class: what is stored, its metrics and its sentence."""

from pydantic import Field

from synaug_core import frozen, names

__all__ = ["ArmView", "ExplainedImage", "Explanation", "MapChange"]


class MapChange(frozen.Frozen):
    """How far two classifiers' maps of the same images are apart: means over the images."""

    correlation: float
    """1 - Pearson correlation of the two maps: 0 alike, 1 unrelated, 2 opposite."""
    overlap: float
    """1 - the share of the brightest fifth of either map that both have (intersection over union): 0 alike, 1 apart."""
    n: int
    """Images counted; those where a map is flat are left out."""


class ArmView(frozen.Frozen):
    """One arm's prediction of an image, and its map against the reference's."""

    predicted: str
    """Class of highest probability."""
    probability: float
    """Of the true class."""
    change: MapChange | None = None
    """Of its map against the reference's; None for the reference itself, and where a map is flat."""


class ExplainedImage(frozen.Frozen):
    """A test image that is shown."""

    id: str
    label: str
    """Its true class."""
    why: str
    """Why it was chosen, in a few words."""
    arms: dict[str, ArmView]


class Explanation(frozen.Frozen):
    """Where the arms look for the true class, beside the reference."""

    layer: str = ""
    """Whose maps these are, with their size in cells; empty where there are none."""
    reference: str
    """The arm that the others are compared with."""
    best: str | None = None
    """The synthetic arm that the images were chosen by; None where there is none."""
    images: tuple[ExplainedImage, ...] = ()
    """Those that are shown, the most changed first."""
    change: dict[str, MapChange] = Field(default_factory=dict)
    """By arm, over a sample of the test images that was drawn class by class, not chosen by the arms' predictions."""
    noise: MapChange | None = None
    """The same between two trainings of the reference, on the same images: what chance alone changes."""
    note: str = ""
    """Why there are no maps; empty where there are."""

    def metrics(self) -> dict[str, float]:
        """`explain/change/<arm>`, `explain/overlap/<arm>`, `explain/noise`, `explain/noise_overlap`, `explain/images`.

        Figures that are not defined are left out.
        """
        short = names.slugs(self.change)
        metrics = {f"explain/change/{short[arm]}": c.correlation for arm, c in self.change.items()}
        metrics |= {f"explain/overlap/{short[arm]}": c.overlap for arm, c in self.change.items()}
        if self.noise is not None:
            metrics |= {"explain/noise": self.noise.correlation, "explain/noise_overlap": self.noise.overlap}
        if self.change:
            metrics["explain/images"] = float(max(c.n for c in self.change.values()))
        return metrics

    def sentence(self) -> str:
        """How much the maps change, beside what chance changes, in plain words; or why there is nothing to say.

        It speaks of the best synthetic arm, or, where there is none, of the arm whose maps differ most.
        """
        if self.note:
            return self.note
        if not self.change:
            return "There are no two arms whose maps could be compared."
        arm = self.best if self.best in self.change else max(self.change, key=lambda a: self.change[a].correlation)
        change = self.change[arm]
        text = (
            f"The maps of {arm} differ from those of {self.reference} by {change.correlation:.2f} "
            f"(1 - correlation, mean of {change.n} test image{'s' * (change.n != 1)})"
        )
        if self.noise is None:
            return f"{text}; without a second training of {self.reference} nobody knows how much of that is chance."
        floor = f"two trainings of {self.reference} differ by {self.noise.correlation:.2f}"
        if change.correlation <= self.noise.correlation:
            return f"{text}, and {floor}: no more than chance changes."
        return f"{text}; {floor} by chance alone."
