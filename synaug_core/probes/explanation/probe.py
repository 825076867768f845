"""Where the arms' classifiers find evidence for the true class, and how much of that changes from arm to arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from synaug_core.config.probes import ExplanationConfig
from synaug_core.probes.base import Measurement, Probe, ProbeInput, ReportSection, Table, Training
from synaug_core.probes.explanation.report import Explanation
from synaug_core.report.words import number, plain

if TYPE_CHECKING:
    from synaug_core.evaluate.predictions import Predictions
    from synaug_core.evaluate.results import Comparison

__all__ = ["ExplanationProbe"]

_SHEET = "cams.png"


class ExplanationProbe(Probe[ExplanationConfig, Explanation]):
    """Maps of the first training of every arm on chosen test images, beside those of the best control."""

    name = "explanation"
    result_type = Explanation
    compares_arms = True
    label = "maps"
    pictures = (_SHEET,)

    def count_trainings(self, config: ExplanationConfig) -> int:
        """Two: what two trainings of the reference differ by is chance."""
        return 2

    def run(self, probe_input: ProbeInput[ExplanationConfig]) -> Measurement[Explanation]:
        """Choose images, map the evidence, compare the maps; a network that keeps no map gets a note instead.

        Trainings with other test images (folds) are left out.

        Raises:
            ValueError: no training of the reference predicted these test images; or no comparison is probe_input.
        """
        from synaug_core.probes.explanation.eigengradcam import NoMapsError
        from synaug_core.probes.explanation.explain import explain
        from synaug_core.probes.explanation.sheet import cam_sheet

        if probe_input.compared is None:
            raise ValueError("compared: the arms' comparison is needed")
        reference = probe_input.compared.reference
        trainings = _select_trainings(probe_input, reference)
        loaders = {arm: [training.load_classifier for training, _ in pairs] for arm, pairs in trainings.items()}
        try:
            explained = explain(
                {arm: load[0] for arm, load in loaders.items()},
                {arm: [predictions for _, predictions in pairs] for arm, pairs in trainings.items()},
                probe_input.test,
                reference=reference,
                best=probe_input.compared.best,
                again=loaders[reference][1] if len(loaders[reference]) > 1 else None,
                images=probe_input.config.images,
                seed=probe_input.seed,
                device=probe_input.device,
                progress=probe_input.progress,
            )
        except NoMapsError as error:
            note = f"No maps of where the classifiers look: {error}."
            return Measurement(Explanation(reference=reference, note=note))
        explanation = explained.explanation
        heading = f"{probe_input.dataset}: evidence for the true class, layer {explanation.layer}"
        sheet = cam_sheet(explanation, explained.shown, explained.maps, heading=heading)
        return Measurement(explanation, pictures={_SHEET: sheet})

    def metrics(self, result: Explanation) -> dict[str, float]:
        """How far the arms' maps are from the reference's."""
        return result.metrics()

    def tags(self, result: Explanation) -> dict[str, str]:
        """The sentence."""
        return {"synaug.explanation": result.sentence()}

    def report_section(self, measurements: Sequence[Measurement[Explanation]], comparison: Comparison) -> ReportSection:
        """The sheet of maps, and how much they change."""
        [measurement] = measurements
        explanation, sheet = measurement.result, measurement.pictures.get(_SHEET)
        layer = f" (EigenGradCAM, layer {plain(explanation.layer, 80)})" if explanation.layer else ""
        changes = list(explanation.change.items())
        if changes and explanation.noise is not None:
            changes.append((f"{explanation.reference}, trained twice (chance)", explanation.noise))
        rows = [(arm, (f"{c.correlation:.2f}", f"{c.overlap:.2f}", number(c.n))) for arm, c in changes]
        return ReportSection(
            anchor="maps",
            heading="Where the classifiers look",
            sentences=[explanation.sentence()],
            picture=sheet,
            alt="Test images in rows, in columns each arm's map of where it looks for the true class",
            picture_note=f"Bright: the part of the image that speaks most for the true class{layer}. "
            "A map shows where, not why.",
            table=Table(
                headings=(
                    f"maps against those of {plain(explanation.reference)}",
                    "1 − correlation",
                    "1 − overlap of the brightest fifth",
                    "images",
                ),
                rows=rows,
                note="0: the same map. A change no larger than that of an arm trained twice is chance.",
            )
            if rows
            else None,
        )

    def procedure(self, config: ExplanationConfig) -> tuple[str, str]:
        """Which maps of how many images."""
        return (
            "Where they look",
            f"EigenGradCAM maps of {config.images} test images, those the arms disagree on most, and of a sample.",
        )


def _select_trainings(
    probe_input: ProbeInput[ExplanationConfig], reference: str
) -> dict[str, list[tuple[Training, Predictions]]]:
    """By arm, the reference first, the trainings that predicted just these test images, the first one first.

    Raises:
        ValueError: none of the reference's did.
    """
    selected: dict[str, list[tuple[Training, Predictions]]] = {}
    for arm in dict.fromkeys((reference, *probe_input.trainings)):
        pairs = [
            (t, t.load_predictions()) for t in sorted(probe_input.trainings.get(arm, ()), key=lambda t: t.repetition)
        ]
        if same_images := [(t, p) for t, p in pairs if set(p.ids) == set(probe_input.test.ids)]:
            selected[arm] = same_images
    if reference not in selected:
        raise ValueError(f"no repetition of {reference} predicted the test images of this data set")
    return selected
