"""Where the arms look, and how much of that changes from arm to arm. Nothing depends on it."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from synaug_core.config import ComputeConfig
from synaug_core.config.probes import ExplanationConfig
from synaug_core.refs import DatasetRef, ExplanationRef, RepetitionRef, RunRef
from tasks.engine.progress import progress
from tasks.engine.recording import recorded
from tasks.engine.slots import device_slot
from tasks.engine.step import step

if TYPE_CHECKING:
    from PIL.Image import Image

    from synaug_core.data.imageset import ImageSet
    from synaug_core.evaluate.predictions import Predictions
    from synaug_core.explanation.report import Explanation
    from synaug_core.services.mlflow.tracking import Recorder

__all__ = ["explain_arms", "load_cam_sheet", "load_explanation"]

_FOLDER, _JSON, _SHEET = "explanation", "explanation.json", "cams.png"


@step("data", "nets", "classify", "evaluate", "explanation", "report")
def explain_arms(
    dataset: DatasetRef,
    repetitions: tuple[RepetitionRef, ...],
    reference: str,
    best: str | None,
    config: ExplanationConfig,
    seed: int,
    compute: ComputeConfig,
    parent: RunRef,
) -> ExplanationRef:
    """Maps of the first training of every arm on chosen test images, beside those of `reference`, the best control.

    Repetitions with other test images (folds) are left out. A network that keeps no map gets a note instead of maps.
    """
    from synaug_core.explanation.explain import explain
    from synaug_core.explanation.layers import NoMapsError
    from synaug_core.explanation.report import Explanation
    from synaug_core.report.cams import cam_sheet
    from synaug_core.seeds import derive
    from tasks.engine.loading import load_classifier, load_images

    with recorded("explanation", "explanation", parent) as recorder, device_slot(compute) as device:
        test, sheet = load_images(dataset.test), None
        of_arm = _trainings(repetitions, test, reference)
        load = {arm: [partial(load_classifier, r.classifier, str(device)) for r, _ in of_arm[arm]] for arm in of_arm}
        try:
            explained = explain(
                {arm: found[0] for arm, found in load.items()},
                {arm: [said for _, said in found] for arm, found in of_arm.items()},
                test,
                reference=reference,
                best=best,
                again=load[reference][1] if len(load[reference]) > 1 else None,
                images=config.images,
                seed=derive(seed, "explanation"),
                device=device,
                progress=progress("explanation", "maps"),
            )
        except NoMapsError as error:
            explanation = Explanation(reference=reference, note=f"No maps of where the classifiers look: {error}.")
        else:
            explanation = explained.explanation
            heading = f"{dataset.name}: evidence for the true class, layer {explanation.layer}"
            sheet = cam_sheet(explanation, explained.shown, explained.maps, heading=heading)
            recorder.figure(sheet, f"figures/{_SHEET}")
        recorder.params(config.model_dump() | {"reference": reference, "best": best})
        recorder.metrics(explanation.metrics())
        recorder.tags({"synaug.explanation": explanation.sentence()})
        return _store(recorder, explanation, sheet)


def load_explanation(reference: ExplanationRef) -> Explanation:
    """What was found."""
    from synaug_core.explanation.report import Explanation
    from synaug_core.services.mlflow.artifacts import fetch

    return Explanation.model_validate_json((fetch(reference) / _JSON).read_bytes())


def load_cam_sheet(reference: ExplanationRef) -> Image | None:
    """The sheet; None where the network keeps no maps."""
    from PIL import Image

    from synaug_core.services.mlflow.artifacts import fetch

    path = fetch(reference) / _SHEET
    if not path.exists():
        return None
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _trainings(
    repetitions: tuple[RepetitionRef, ...], test: ImageSet, reference: str
) -> dict[str, list[tuple[RepetitionRef, Predictions]]]:
    """By arm, the reference first, the repetitions that predicted just these test images, the first one first.

    Raises:
        ValueError: none of the reference's did.
    """
    from tasks.engine.loading import load_predictions

    found: dict[str, list[tuple[RepetitionRef, Predictions]]] = {}
    for repetition in sorted(repetitions, key=lambda r: (r.arm != reference, r.repetition)):
        said = load_predictions(repetition.predictions)
        if set(said.ids) == set(test.ids):
            found.setdefault(repetition.arm, []).append((repetition, said))
    if reference not in found:
        raise ValueError(f"no repetition of {reference} predicted the test images of this data set")
    return {arm: found[arm] for arm in dict.fromkeys((reference, *(r.arm for r in repetitions))) if arm in found}


def _store(recorder: Recorder, explanation: Explanation, sheet: Image | None) -> ExplanationRef:
    from synaug_core.services.mlflow.artifacts import put_folder

    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / _FOLDER
        local.mkdir()
        (local / _JSON).write_text(explanation.model_dump_json(indent=1) + "\n", encoding="utf-8")
        if sheet is not None:
            sheet.save(local / _SHEET)
        uri, sha256 = put_folder(recorder.run, local, _FOLDER)
    return ExplanationRef(uri=uri, sha256=sha256, run_id=recorder.run.run_id)
