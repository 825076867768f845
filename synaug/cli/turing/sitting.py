"""Raters and their answers, without any HTTP: who sees which image next, and what is taken for an answer."""

from __future__ import annotations

import math
import secrets
import threading
import time
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from synaug_core.report import turing, words
from synaug_core.serving.errors import RequestError
from synaug_core.turing.answers import Answer, AnswerLog
from synaug_core.turing.design import Design, Item, order
from synaug_core.turing.result import evaluate, score_of

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Sitting"]

_LONGEST_NAME = 60
_MOST_SECONDS = 3600.0


class Sitting:
    """One test that several raters take, each at their own pace; threads may call at once.

    Args:
        design: what is shown.
        pixels: the uint8 image (channels, side, side) of an item.
        log: where answers go.
        on_finished: called with the name of a rater who has answered everything.
    """

    def __init__(
        self,
        design: Design,
        pixels: Callable[[Item], Tensor],
        log: AnswerLog,
        on_finished: Callable[[str], None] = lambda _rater: None,
    ) -> None:
        self.design, self.log = design, log
        self._pixels = pixels
        self._on_finished = on_finished
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, int], str] = {}
        self._items: dict[str, int] = {}

    def start(self, rater: Any) -> dict[str, Any]:
        """Let somebody begin, or go on.

        Raises:
            RequestError: the name cannot be used.
        """
        name = _name(rater)
        with self._lock:
            rater_name = next((r for r in self.log.raters() if r.casefold() == name.casefold()), name)
            return self._state(rater_name)

    def answer(self, rater: Any, image: Any, synthetic: Any, seconds: Any) -> dict[str, Any]:
        """Take an answer to the image the rater sees now; one to an earlier image is ignored, as of a page that
        was sent twice.

        Raises:
            RequestError: the request is not one of the page's.
        """
        name = _name(rater)
        if not isinstance(synthetic, bool) or not _is_time(seconds):
            raise RequestError(400, "That is no answer.")
        with self._lock:
            position = self._position(image, name)
            answered = self.log.answers_of(name)
            item = self._next(name, answered)
            if item is None or position != item:
                return self._state(name)
            design_item = self.design.items[item]
            self.log.add(
                Answer(
                    rater=name,
                    item=item,
                    image=design_item.id,
                    class_name=design_item.class_name,
                    synthetic=design_item.synthetic,
                    said_synthetic=synthetic,
                    seconds=round(float(min(seconds, _MOST_SECONDS)), 3),
                    answered_at=time.time(),
                )
            )
            state = self._state(name)
        if state["result"] is not None:
            self._on_finished(name)
        return state

    def undo(self, rater: Any, image: Any) -> dict[str, Any]:
        """Show the image before the one that the rater sees now again.

        Raises:
            RequestError: the rater is done and has seen the result, or the request is not one of the page's.
        """
        name = _name(rater)
        with self._lock:
            position = self._position(image, name)
            item = self._next(name, self.log.answers_of(name))
            if item is None:
                raise RequestError(409, "You are done; the result has been shown.")
            if position == item:
                self.log.undo(name)
            return self._state(name)

    def picture(self, token: str) -> bytes:
        """The image behind a token, as PNG.

        Raises:
            RequestError: there is no such token.
        """
        with self._lock:
            item = self._items.get(token)
        if item is None:
            raise RequestError(404, "There is no such image.")
        return turing.as_png(self._pixels(self.design.items[item]))

    def _next(self, name: str, answered: list[Answer]) -> int | None:
        done = {a.item for a in answered}
        return next((i for i in order(self.design, name) if i not in done), None)

    def _position(self, token: Any, name: str) -> int:
        item = self._items.get(token) if isinstance(token, str) else None
        if item is None or self._tokens.get((name, item)) != token:
            raise RequestError(409, "This page is of an earlier start of the server: reload it.")
        return item

    def _state(self, name: str) -> dict[str, Any]:
        answered = self.log.answers_of(name)
        item = self._next(name, answered)
        state: dict[str, Any] = {"rater": name, "done": len(answered), "total": len(self.design.items), "result": None}
        if item is None:
            state["result"] = _describe_own_result(answered, self.design.seed)
            return state
        if (name, item) not in self._tokens:
            token = secrets.token_urlsafe(18)
            self._tokens[name, item] = token
            self._items[token] = item
        shown = words.plain(self.design.items[item].class_name, 80)
        return state | {"class": shown, "image": self._tokens[name, item]}


def _describe_own_result(answers: list[Answer], seed: int) -> dict[str, Any]:
    """What the page says to a rater who is done."""
    result = evaluate(answers, images=len(answers), seed=seed)
    own_score = score_of(answers, seed)
    reals = sum(not a.synthetic for a in answers)
    wrong = sum(a.said_synthetic and not a.synthetic for a in answers)
    missed = sum(not a.said_synthetic and a.synthetic for a in answers)
    figures = [
        ("Right", f"{own_score.right} of {own_score.answers}"),
        ("Synthetic taken for real", f"{missed} of {len(answers) - reals}"),
        ("Real taken for synthetic", f"{wrong} of {reals}"),
    ]
    if own_score.d_prime is not None:
        figures.append(("Sensitivity d′ (0 is chance)", f"{own_score.d_prime:.2f}".replace("-", "−")))
    figures.append(("Median time", f"{own_score.seconds:.1f} s"))
    return {"sentence": result.sentence.replace("One person", "You", 1), "figures": figures}


def _name(text: Any) -> str:
    """A name on one line of at most 60 printable characters."""
    if not isinstance(text, str):
        raise RequestError(400, "Please give a name.")
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name or len(name) > _LONGEST_NAME:
        raise RequestError(400, f"Please give a name of 1 to {_LONGEST_NAME} characters.")
    if any(unicodedata.category(c)[0] == "C" for c in name):
        raise RequestError(400, "The name has characters that cannot be shown.")
    return name


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
