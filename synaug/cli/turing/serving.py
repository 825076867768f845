"""One call of `synaug turing`: the test is found, shown until Ctrl-C, and its result recorded."""

import contextlib
import queue
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import filelock

from synaug.cli.turing.finding import JudgedImages, find
from synaug.cli.turing.server import TuringServer
from synaug.cli.turing.sitting import Sitting
from synaug_core import errors, refs
from synaug_core.report.turing import result_page
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.secrets import first_line
from synaug_core.services.settings import Settings
from synaug_core.turing.answers import Answer, AnswerLog, Header, newest, read
from synaug_core.turing.design import Design, choose
from synaug_core.turing.result import TuringResult, evaluate

__all__ = ["Prepared", "prepare", "record_result", "serve"]

_IMAGES, _SEED = 100, 0


@dataclass(frozen=True)
class Prepared:
    """A test that can be taken.

    Attributes:
        test_images: its images.
        design: which of them are shown.
        header: the first line of its answers.
        answers: the file with them; it need not be there.
    """

    test_images: JudgedImages
    design: Design
    header: Header
    answers: Path

    @property
    def note(self) -> str:
        """How its images were chosen."""
        half = len(self.design.items) // 2
        sentence = f"{half} synthetic images, drawn at random, beside {half} real ones of the same classes from the "
        sentence += "training images, all of the same size and encoding."
        if self.design.parents:
            sentence += f" {self.design.parents} of the real ones are parents of synthetic ones shown."
        return sentence


def prepare(settings: Settings, run: str, *, arm: str | None, images: int | None, seed: int | None) -> Prepared:
    """Find the images and draw those that are shown; without a number and a seed those of the last test of the run.

    Raises:
        UserError: there is no such run or arm, or no class with real and synthetic images.
        ArtifactError: images or answers are missing or damaged.
    """
    test_images = find(settings, run, arm)
    folder = settings.home / "turing" / test_images.run.run_id
    last_answers = newest(folder) if images is None and seed is None else None
    if last_answers is not None:
        header = read(last_answers).header
        images, seed = header.images, header.seed
    images, seed = images or _IMAGES, _SEED if seed is None else seed
    design = choose(test_images.train, test_images.synthetic_images, images=images, seed=seed)
    header = Header(images=images, seed=seed, digest=design.digest)
    return Prepared(test_images, design, header, folder / f"{design.digest[:16]}.jsonl")


def serve(
    test: Prepared, *, rater: str, port: int, notify: Callable[[str], None], ready: Callable[[str], None]
) -> bool:
    """Show the test until KeyboardInterrupt; the result is recorded whenever a rater is done, and at the end.

    Args:
        test: what is shown.
        rater: filled in on the page; may be empty.
        port: 0 takes a free one.
        notify: told in lines what happens.
        ready: told the page's address once it answers.

    Returns:
        Whether there are answers, of now or of before.

    Raises:
        UserError: the port is taken, or another process shows this test.
    """
    finished: queue.SimpleQueue[str] = queue.SimpleQueue()
    with _alone(test.answers), AnswerLog(test.answers, test.header) as log:
        sitting = Sitting(test.design, test.test_images.pixels, log, finished.put)
        try:
            server = TuringServer(sitting, name=test.test_images.name, port=port, rater=rater)
        except OSError as error:
            reason = (error.strerror or "unknown reason").lower()
            raise errors.UserError(f"--port: {port} cannot be used ({reason})") from error
        with server, contextlib.suppress(KeyboardInterrupt):
            ready(server.url)
            while True:
                with contextlib.suppress(queue.Empty):
                    name = finished.get(timeout=0.5)
                    notify(f"{name} has answered all {len(test.design.items)} images")
                    _record_now(test, notify)
        if not log.answers():
            notify("no answer was given; nothing was recorded")
            return False
        notify(record_result(test).sentence)
        return True


def record_result(test: Prepared) -> TuringResult:
    """Compute the result from the answers on the disk, and record it.

    Raises:
        UserError: nobody has answered yet.
    """
    stored = read(test.answers) if test.answers.exists() else None
    if stored is None or not stored.answers:
        raise errors.UserError("nobody has answered yet; `synaug turing RUN` shows the images")
    result = evaluate(stored.answers, images=len(test.design.items), seed=test.design.seed)
    page = result_page(
        result, lambda f: test.test_images.pixels(test.design.items[f.item]), name=test.test_images.name, note=test.note
    )
    _record(test.test_images.run, result, stored.answers, page, stored.changed)
    return result


def _record(run: refs.RunRef, result: TuringResult, answers: Sequence[Answer], page: str, changed: float) -> None:
    """Write metrics, a tag and files; written twice, the same result leaves one trace. The run's status stays.

    Args:
        run: the run.
        result: the figures.
        answers: what they were computed from.
        page: the result's page.
        changed: time of the last answer in seconds since 1970. A metric's step is this time in milliseconds, so that
            MLflow shows the latest result wherever and however often one is written.
    """
    from synaug_core.services.mlflow.recorder import Recorder

    recorder = Recorder(run)
    try:
        recorder.metrics(result.metrics(), step=round(1000 * changed))
        recorder.tags({Tag.TURING: result.sentence})
        recorder.json([answer.model_dump() for answer in answers], "turing/answers.json")
        recorder.json(result.model_dump(mode="json"), "turing/result.json")
        recorder.text(page, "turing/result.html")
        recorder.flush()
    finally:
        recorder.close()


def _record_now(test: Prepared, notify: Callable[[str], None]) -> None:
    """Record while others may still answer; what goes wrong is said, and tried again at the end."""
    try:
        record_result(test)
    except Exception as error:
        notify(f"the result could not be recorded yet ({first_line(error)}); the answers are kept")


@contextlib.contextmanager
def _alone(answers: Path) -> Iterator[None]:
    """One server at a time: two would each miss the other's answers."""
    answers.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(answers.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise errors.UserError(
            "another `synaug turing` shows these images already; several people can use its page"
        ) from None
    try:
        yield
    finally:
        lock.release()
