"""One call of `synaug turing`: the images of a run are found, shown until Ctrl-C, and the result is recorded."""

import contextlib
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
from torch import Tensor

from synaug.cli import stored
from synaug.cli.turing.server import Sitting, TuringServer
from synaug_core import errors, refs
from synaug_core.config.arms import CONTROL_STRATEGIES, ORACLE
from synaug_core.data import imageset, parquet
from synaug_core.report.turing import result_page
from synaug_core.services import places, secrets
from synaug_core.services.mlflow import recorder, runs
from synaug_core.services.mlflow.tags import ArtifactPath, Tag
from synaug_core.services.settings import Settings
from synaug_core.turing import answers as turing_answers
from synaug_core.turing.design import Design, Item, choose
from synaug_core.turing.result import TuringResult, evaluate

__all__ = ["PreparedTest", "RatedImages", "find_images", "prepare", "record_result", "serve"]

_IMAGES, _SEED = 100, 0
_VALIDATION = "val/balanced_accuracy"
_SYNTHESIS = "synthesis."
_DIVISIONS = ("fold", "draw")
"""Stages of the runs of divisions, where a retraining has several."""


@dataclass(frozen=True)
class RatedImages:
    """What a test is about.

    Attributes:
        run: the run its result belongs to: the synthesis run, or the arm's.
        name: the data set, and the images' name.
        train: the training images that the generator knew.
        synthetic_images: the synthetic images.
    """

    run: refs.RunRef
    name: str
    train: imageset.ImageSet
    synthetic_images: imageset.ImageSet

    def pixels(self, item: Item) -> Tensor:
        """The uint8 image (channels, side, side) of an item of the test."""
        return (self.synthetic_images if item.synthetic else self.train).images[item.row]


def find_images(settings: Settings, text: str, arm: str | None = None) -> RatedImages:
    """The images behind a synthesis run, an arm, a fold or draw, or a whole retraining.

    Args:
        settings: the store.
        text: a run's id, or its beginning.
        arm: of a retraining: whose images; default: of the arms with synthetic images that are no controls the
            one that was best on the validation images. Where there are several divisions, folds or draws, those of the
            first are taken.

    Raises:
        UserError: there is no such run or arm, or it has no synthetic images.
        ArtifactError: images are missing or damaged.
    """
    mlflow = stored.client(settings)
    run = stored.find_run(mlflow, text)
    stage = run.data.tags.get(Tag.STAGE, "")
    if stage == "synthesis":
        if arm is not None:
            raise errors.UserError(
                f"--arm: {text} is a synthesis run, one set of images; give the id of the retraining"
            )
        target, ancestors, synthesis_runs = run, _runs_above(mlflow, run), [run]
    elif stage in ("retrain", "arm", *_DIVISIONS):
        top = run if stage == "retrain" else _runs_above(mlflow, run)[-1]
        target = run if stage == "arm" and arm is None else _arm(mlflow, top, text, arm)
        divisions = (
            [run] if stage in _DIVISIONS else [d for word in _DIVISIONS for d in stored.below(mlflow, top, word)]
        )
        division = next(iter(divisions), top)
        ancestors, synthesis_runs = [division, top], _syntheses(mlflow, division, target)
    else:
        raise errors.UserError(
            f"{text} is {_with_article(stage or 'foreign')} run; give a synthesis run, an arm or a retraining"
        )
    image_sets = [_images(settings, mlflow, source, ArtifactPath.SYNTHETIC_IMAGES) for source in synthesis_runs]
    if not any(map(len, image_sets)):
        raise errors.UserError(f"{text} has no synthetic images: none was planned, or none passed the filters")
    images = imageset.concatenate([image_set for image_set in image_sets if len(image_set)])
    name = run.data.tags.get(Tag.DATASET) or ancestors[-1].info.run_name
    return RatedImages(
        run=runs.run_ref(settings, target.info.run_id),
        name=f"{name}: {target.info.run_name}",
        train=_training_images(settings, mlflow, ancestors),
        synthetic_images=images,
    )


def _runs_above(mlflow: Any, run: Any) -> list[Any]:
    """The runs above a run, at least one."""
    if not (ancestors := stored.above(mlflow, run)):
        raise errors.UserError(f"{run.info.run_id} belongs to no retraining, so its training images are not known")
    return ancestors


def _arm(mlflow: Any, top: Any, text: str, name: str | None) -> Any:
    """The arm of that name, or the best one with synthetic images."""
    arms = {run.data.tags.get(Tag.ARM, run.info.run_name): run for run in stored.below(mlflow, top, "arm")}
    synthetic_arms = [arm for arm, run in arms.items() if _synthesis_parameters(run)]
    if not synthetic_arms:
        raise errors.UserError(f"{text} has no finished arm with synthetic images; give the id of a synthesis run")
    if name is None:
        candidates = [arm for arm in synthetic_arms if not _is_control(arms[arm])] or synthetic_arms
        return arms[max(candidates, key=lambda arm: arms[arm].data.metrics.get(_VALIDATION, -1.0))]
    if name not in synthetic_arms:
        problem = f"the arm {name!r} has no synthetic images" if name in arms else f"there is no arm {name!r}"
        raise errors.UserError(f"--arm: {problem}; arms with synthetic images: {', '.join(synthetic_arms)}")
    return arms[name]


def _synthesis_parameters(arm: Any) -> dict[str, str]:
    """The parameters of an arm's synthesis, as its own runs have them."""
    return {k.removeprefix(_SYNTHESIS): v for k, v in arm.data.params.items() if k.startswith(_SYNTHESIS)}


def _is_control(arm: Any) -> bool:
    """Whether an arm has, copies or mixes real images: a test of those says little about a generator."""
    return _synthesis_parameters(arm).get("strategy") in (*CONTROL_STRATEGIES, ORACLE)


def _syntheses(mlflow: Any, division: Any, arm: Any) -> list[Any]:
    """The synthesis runs, one for each group of classes, that made an arm's images: those with its parameters."""
    parameters = _synthesis_parameters(arm)
    return [
        run
        for run in stored.below(mlflow, division, "synthesis")
        if parameters and {k: v for k, v in run.data.params.items() if k != "classes"} == parameters
    ]


def _training_images(settings: Settings, mlflow: Any, ancestors: Sequence[Any]) -> imageset.ImageSet:
    """Those of the fold, draw or retraining that a synthesis run lies below."""
    folder = ""
    for run in ancestors:
        if run.data.tags.get(Tag.STAGE) in _DIVISIONS:
            folder = f"{run.data.tags[Tag.KEY].replace('/', '-')}/"
        for dataset in stored.below(mlflow, run, "dataset"):
            return _images(settings, mlflow, dataset, f"{folder}images/train.parquet")
    raise errors.UserError(f"the training images of {ancestors[-1].info.run_id} are not in this store")


def _images(settings: Settings, mlflow: Any, run: Any, path: str) -> imageset.ImageSet:
    with stored.artifact(settings, mlflow, run, path) as file:
        return parquet.read(file)


def _with_article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


@dataclass(frozen=True)
class PreparedTest:
    """A test that can be taken.

    Attributes:
        rated_images: its images.
        design: which of them are shown.
        header: the first line of its answers.
        answers: the file with them; it need not be there.
    """

    rated_images: RatedImages
    design: Design
    header: turing_answers.Header
    answers: Path

    @property
    def note(self) -> str:
        """How its images were chosen."""
        half = len(self.design.items) // 2
        sentence = f"{half} synthetic images, drawn at random, beside {half} real ones of the same classes from the "
        sentence += "training images, all of the same size and encoding."
        if self.design.parents:
            sentence += f" {self.design.parents} of the real ones are parents of synthetic ones that are shown."
        return sentence


def prepare(settings: Settings, run: str, *, arm: str | None, images: int | None, seed: int | None) -> PreparedTest:
    """Find the images and draw those that are shown; without a number and a seed those of the last test of the run.

    Raises:
        UserError: there is no such run or arm, or no class with real and synthetic images.
        ArtifactError: images or answers are missing or damaged.
    """
    rated_images = find_images(settings, run, arm)
    folder = settings.home / places.TURING / rated_images.run.run_id
    last_answers = turing_answers.newest(folder) if images is None and seed is None else None
    if last_answers is not None:
        header = turing_answers.read(last_answers).header
        images, seed = header.images, header.seed
    images, seed = images or _IMAGES, _SEED if seed is None else seed
    design = choose(rated_images.train, rated_images.synthetic_images, images=images, seed=seed)
    header = turing_answers.Header(images=images, seed=seed, digest=design.digest)
    return PreparedTest(rated_images, design, header, folder / f"{design.digest[:16]}.jsonl")


def serve(
    test: PreparedTest, *, rater: str, port: int, notify: Callable[[str], None], ready: Callable[[str], None]
) -> bool:
    """Show the test until KeyboardInterrupt; the result is recorded whenever a rater is done, and at the end.

    Args:
        test: what is shown.
        rater: filled in on the page; may be empty.
        port: 0 takes a free one.
        notify: called with a line on what happens.
        ready: called with the page's address once it answers.

    Returns:
        Whether there are answers, new or earlier.

    Raises:
        UserError: the port is taken, or another process shows this test.
    """
    finished_raters: queue.SimpleQueue[str] = queue.SimpleQueue()
    with _single_server(test.answers), turing_answers.AnswerLog(test.answers, test.header) as log:
        sitting = Sitting(test.design, test.rated_images.pixels, log, finished_raters.put)
        try:
            server = TuringServer(sitting, name=test.rated_images.name, port=port, rater=rater)
        except OSError as error:
            reason = os.strerror(error.errno).lower() if error.errno else "unknown reason"
            raise errors.UserError(f"--port: {port} cannot be used ({reason})") from error
        with server, contextlib.suppress(KeyboardInterrupt):
            ready(server.url)
            while True:
                with contextlib.suppress(queue.Empty):
                    name = finished_raters.get(timeout=0.5)
                    notify(f"{name} has answered all {len(test.design.items)} images")
                    _record_now(test, notify)
        if not log.answers():
            notify("there are no answers; nothing was recorded")
            return False
        notify(record_result(test).sentence)
        return True


def record_result(test: PreparedTest) -> TuringResult:
    """Compute the result from the answers on the disk, and record it.

    Raises:
        UserError: there are no answers yet.
    """
    answer_file = turing_answers.read(test.answers) if test.answers.exists() else None
    if answer_file is None or not answer_file.answers:
        raise errors.UserError("there are no answers yet; `synaug turing RUN` shows the images")
    result = evaluate(answer_file.answers, images=len(test.design.items), seed=test.design.seed)
    page = result_page(
        result,
        lambda answer: test.rated_images.pixels(test.design.items[answer.item]),
        name=test.rated_images.name,
        note=test.note,
    )
    _record(test.rated_images.run, result, answer_file.answers, page, answer_file.changed_at)
    return result


def _record(
    run: refs.RunRef, result: TuringResult, answers: Sequence[turing_answers.Answer], page: str, last_answer_time: float
) -> None:
    """Write metrics, a tag and files; recorded twice, the same result is stored once. The run's status stays.

    Args:
        run: the run.
        result: the figures.
        answers: what they were computed from.
        page: the result's page.
        last_answer_time: in seconds since 1970. A metric's step is this time in milliseconds, so that
            MLflow shows the latest result wherever and however often one is written.
    """
    records = recorder.Recorder(run)
    try:
        records.metrics(result.metrics(), step=round(1000 * last_answer_time))
        records.tags({Tag.TURING: result.sentence})
        records.json([answer.model_dump() for answer in answers], "turing/answers.json")
        records.json(result.model_dump(mode="json"), "turing/result.json")
        records.text(page, "turing/result.html")
        records.flush()
    finally:
        records.close()


def _record_now(test: PreparedTest, notify: Callable[[str], None]) -> None:
    """Record while others may still answer; a failure is reported, and recording is tried again at the end."""
    try:
        record_result(test)
    except Exception as error:
        notify(f"the result could not be recorded yet ({secrets.first_line(error)}); the answers are kept")


@contextlib.contextmanager
def _single_server(answers: Path) -> Iterator[None]:
    """One server at a time: two would each miss the other's answers."""
    answers.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(answers.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise errors.UserError(
            "another `synaug turing` shows these images already; several raters can use its page"
        ) from None
    try:
        yield
    finally:
        lock.release()
