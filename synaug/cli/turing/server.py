"""The test's page: raters and their answers, and the server that only the page itself may talk to."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import secrets
import socket
import threading
import time
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import uvicorn
from starlette.requests import Request
from starlette.responses import Response

from synaug.cli.servers import HOST
from synaug_core.report import turing, words
from synaug_core.serving.errors import RequestError
from synaug_core.turing.answers import Answer, AnswerLog
from synaug_core.turing.design import Design, Item, order
from synaug_core.turing.result import evaluate, score_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send
    from torch import Tensor

__all__ = ["Sitting", "TuringServer"]

_LONGEST_NAME = 60
_MOST_SECONDS = 3600.0
_LONGEST_BODY = 4096
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_BODY_SECONDS = 30.0  # until a request whose body does not come is given up
_GRACE_SECONDS = 5
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "synaug",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_log = logging.getLogger(__name__)


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
        """Let a rater begin or continue.

        Raises:
            RequestError: the name cannot be used.
        """
        name = _name(rater)
        with self._lock:
            rater_name = next(
                (rater_name for rater_name in self.log.raters() if rater_name.casefold() == name.casefold()), name
            )
            return self._state(rater_name)

    def answer(self, rater: Any, image: Any, synthetic: Any, seconds: Any) -> dict[str, Any]:
        """Take an answer to the image the rater sees now; one to an earlier image is ignored, as of a page that
        was sent twice.

        Raises:
            RequestError: the request is not one of the page's.
        """
        name = _name(rater)
        if not isinstance(synthetic, bool) or not _is_time(seconds):
            raise RequestError(400, "This is not an answer to an image.")
        with self._lock:
            answered_item = self._item_of(image, name)
            answers = self.log.answers_of(name)
            item = self._next_item(name, answers)
            if item is None or answered_item != item:
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
            answered_item = self._item_of(image, name)
            item = self._next_item(name, self.log.answers_of(name))
            if item is None:
                raise RequestError(409, "You have answered every image and seen your result.")
            if answered_item == item:
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

    def _next_item(self, name: str, answers: list[Answer]) -> int | None:
        answered_items = {answer.item for answer in answers}
        return next((item for item in order(self.design, name) if item not in answered_items), None)

    def _item_of(self, token: Any, name: str) -> int:
        item = self._items.get(token) if isinstance(token, str) else None
        if item is None or self._tokens.get((name, item)) != token:
            raise RequestError(409, "The server was restarted: reload this page.")
        return item

    def _state(self, name: str) -> dict[str, Any]:
        answers = self.log.answers_of(name)
        item = self._next_item(name, answers)
        state: dict[str, Any] = {"rater": name, "done": len(answers), "total": len(self.design.items), "result": None}
        if item is None:
            state["result"] = _describe_own_result(answers, self.design.seed)
            return state
        if (name, item) not in self._tokens:
            token = secrets.token_urlsafe(18)
            self._tokens[name, item] = token
            self._items[token] = item
        class_name = words.plain(self.design.items[item].class_name, 80)
        return state | {"class": class_name, "image": self._tokens[name, item]}


def _describe_own_result(answers: list[Answer], seed: int) -> dict[str, Any]:
    """What the page says to a rater who is done."""
    result = evaluate(answers, images=len(answers), seed=seed)
    own_score = score_of(answers, seed)
    real_count = sum(not a.synthetic for a in answers)
    false_alarms = sum(a.said_synthetic and not a.synthetic for a in answers)
    misses = sum(not a.said_synthetic and a.synthetic for a in answers)
    figures = [
        ("Right", f"{own_score.right} of {own_score.answers}"),
        ("Synthetic taken for real", f"{misses} of {len(answers) - real_count}"),
        ("Real taken for synthetic", f"{false_alarms} of {real_count}"),
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


class TuringServer:
    """Serves one sitting as long as it is entered, from a thread of its own.

    What a page of another site could do is refused: a request for another host than loopback (a name that was made
    to point here), a POST from another origin, one without the token that stands in the page alone, one that is not
    JSON.

    Args:
        sitting: the test.
        name: what is tested, shown on the page.
        port: 0 takes a free one.
        rater: name of the rater, filled in on the page, which then begins at once.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, sitting: Sitting, *, name: str, port: int = 0, rater: str = "") -> None:
        self.sitting, self.name, self.rater = sitting, name, rater
        self.token = secrets.token_urlsafe(24)
        self._listener = socket.create_server((HOST, port))
        self.address: tuple[str, int] = self._listener.getsockname()
        config = uvicorn.Config(
            self._serve,
            access_log=False,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            ws="none",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, name="turing", daemon=True
        )

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.address[1]}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            self._check_host(request)
            response = await (self._get(request) if request.method == "GET" else self._post(request))
        except RequestError as error:
            response = _json({"error": str(error)}, error.status)
        except OSError as error:
            _log.exception("an answer could not be stored")
            reason = (error.strerror or "unknown reason").lower()
            response = _json({"error": f"The answer could not be stored ({reason}). Please try again."}, 500)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        await response(scope, receive, send)

    async def _get(self, request: Request) -> Response:
        path = request.url.path
        if path == "/":
            return self._page()
        if path.startswith("/image/"):
            picture = await asyncio.to_thread(self.sitting.picture, path.removeprefix("/image/"))
            return Response(picture, media_type="image/png")
        raise RequestError(404, "There is no such page.")

    def _page(self) -> Response:
        nonce = secrets.token_urlsafe(16)
        items = self.sitting.design.items
        page = turing.rating_page(
            token=self.token,
            nonce=nonce,
            rater=self.rater,
            classes=len({item.class_name for item in items}),
            images=len(items),
            name=self.name,
        )
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": policy})

    async def _post(self, request: Request) -> Response:
        if request.method != "POST":
            raise RequestError(501, "Only GET and POST are answered.")
        self._check_sender(request)
        body = await _read_body(request)
        calls: dict[str, tuple[Callable[..., dict[str, Any]], tuple[str, ...]]] = {
            "/start": (self.sitting.start, ("rater",)),
            "/answer": (self.sitting.answer, ("rater", "image", "synthetic", "seconds")),
            "/undo": (self.sitting.undo, ("rater", "image")),
        }
        if request.url.path not in calls:
            raise RequestError(404, "There is no such page.")
        method, keys = calls[request.url.path]
        return _json(await asyncio.to_thread(method, *(body.get(key) for key in keys)))

    def _check_host(self, request: Request) -> None:
        """A name that an attacker made to point to this machine is not ours; tunnels come under any port."""
        try:
            host = urlsplit(f"//{request.headers.get('Host', '')}").hostname
        except ValueError:
            host = None
        if host not in _LOOPBACK:
            raise RequestError(421, "This server answers requests to this machine's own address only.")

    def _check_sender(self, request: Request) -> None:
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"http://{request.headers.get('Host')}":
            raise RequestError(403, "Requests from other sites are refused.")
        token = request.headers.get("X-Synaug-Token", "")
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            raise RequestError(403, "The server was restarted: reload this page.")
        if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            raise RequestError(415, "The request must be JSON.")


async def _read_body(request: Request) -> dict[str, Any]:
    length = request.headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit()):
        raise RequestError(411, "The request needs a Content-Length.")
    if len(length) > 9 or int(length) > _LONGEST_BODY:
        raise RequestError(413, "The request is too long.")
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            body = json.loads(await request.body())
    except TimeoutError:
        raise RequestError(408, "The request took too long to arrive.") from None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise RequestError(400, "The request cannot be read.")
    return body


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(content), status, media_type="application/json")
