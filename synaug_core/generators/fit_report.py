"""How the fit of one class went."""

from typing import Literal

from pydantic import Field, computed_field

from synaug_core.frozen import Frozen

__all__ = ["ACTIVE_VARIANCE", "CurvePoint", "FitReport", "Status"]

Status = Literal["finished", "early stop", "diverged"]

ACTIVE_VARIANCE = 0.01
"""A latent unit is active when its posterior mean varies more than this over the images (Burda et al., 2016)."""


class CurvePoint(Frozen):
    """Losses in nats per image: sums over pixels and latent units, means over images."""

    step: int
    """Optimiser steps done."""
    beta: float
    """Weight of the KL term at that step."""
    loss: float
    """Training loss, reconstruction + beta * KL, mean over the steps since the last point."""
    reconstruction: float
    """-log p(x|z), the same mean."""
    kl: float
    """KL(q(z|x) || N(0, I)), the same mean."""
    held_out_loss: float | None = None
    """Negative ELBO (beta in full) of the held-out images; None where none are held out."""
    held_out_error: float | None = None
    """Mean squared error of a held-out pixel in [0, 1] units."""
    variance: float
    """Variance of the likelihood after this point."""


class FitReport(Frozen, extra="ignore"):  # its JSON holds `collapsed`, which is no field
    """What a class was learnt from, how far it came, and whether its latent space is used."""

    class_name: str
    images: int
    """Images trained on."""
    held_out: int
    """Images kept for the early stop."""
    folds: int = 0
    """Models beside this one that each left out another part of its images, and said together when to stop: held-out
    figures are theirs. 0: one part was held out, or none."""
    steps: int
    """Optimiser steps done."""
    best_step: int
    """Step whose weights were kept."""
    status: Status
    """`diverged`: the loss left the finite numbers, and the last good weights were kept."""
    curves: tuple[CurvePoint, ...] = ()
    latent_dim: int = 0
    """Length of a latent vector; 0 for a generator without one."""
    active_units: int = 0
    """Latent units whose posterior mean varies over the images by more than ACTIVE_VARIANCE."""
    kl_per_unit: tuple[float, ...] = ()
    """Mean KL of each latent unit over the class's images, in nats."""
    variance: float = 0.0
    """Variance of the likelihood that goes with the kept weights."""
    losses: dict[str, tuple[tuple[int, float], ...]] = Field(default_factory=dict)
    """Curves of kinds whose losses are not a VAE's: by name, (optimiser steps done, value), values finite."""
    measures: dict[str, float] = Field(default_factory=dict)
    """Figures of the fitted model that its kind names; finite."""
    notes: tuple[str, ...] = ()
    """What the user should know of this fit: plain sentences, such as a suspected mode collapse."""
    seconds: float | None = None
    """Wall time of the whole group's fit up to this class's end; not part of what is stored with the weights."""

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def collapsed(self) -> bool:
        """True when no latent unit says anything about an image: interpolation would make one image over and over."""
        return self.latent_dim > 0 and self.active_units == 0 and self.images + self.held_out > 1

    def remarks(self) -> list[str]:
        """`notes`, and what the figures say of themselves: a divergence, a posterior collapse."""
        remarks = list(self.notes)
        if self.status == "diverged":
            remarks.append(
                f"{self.class_name}: the training diverged after {self.steps} steps; step {self.best_step} is kept"
            )
        if self.collapsed:
            remarks.append(f"{self.class_name}: posterior collapse, no latent unit says anything about an image")
        return remarks

    def series(self) -> list[tuple[str, list[int], list[float]]]:
        """The curves one by one: name, steps, values."""
        names = [n for n in CurvePoint.model_fields if n != "step"]
        series = []
        for name in names:
            points = [(p.step, getattr(p, name)) for p in self.curves if getattr(p, name) is not None]
            if points:
                series.append((name, [s for s, _ in points], [float(v) for _, v in points]))
        series.extend((name, [s for s, _ in points], [v for _, v in points]) for name, points in self.losses.items())
        return series

    def metrics(self, label: str) -> dict[str, float]:
        """The figures of the report under names that end in `/label`."""
        best_losses = [p.held_out_loss for p in self.curves if p.step == self.best_step and p.held_out_loss is not None]
        values = {
            "best_step": float(self.best_step),
            "steps": float(self.steps),
            "images": float(self.images),
            "diverged": float(self.status == "diverged"),
        }
        if self.latent_dim:
            values |= {
                "active_units": float(self.active_units),
                "kl_total": float(sum(self.kl_per_unit)),
                "variance": self.variance,
                "collapsed": float(self.collapsed),
            }
        values |= ({"best_held_out_loss": best_losses[0]} if best_losses else {}) | self.measures
        return {f"{name}/{label}": value for name, value in values.items()}
