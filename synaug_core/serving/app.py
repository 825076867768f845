"""The pages of the prediction service."""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from synaug_core.data.decode import Limits
from synaug_core.report.html import render
from synaug_core.serving import errors, guard, metrics
from synaug_core.serving.answer import Answer, answer
from synaug_core.serving.log import PredictionLog
from synaug_core.serving.model import Holder
from synaug_core.serving.options import ServiceOptions
from synaug_core.serving.uploads import read_body, uploads

__all__ = ["Service"]

_BODIES = 8
"""Requests whose images are in memory at once; others wait."""


class Service:
    """The application and what it needs.

    Args:
        options: limits, token.
        holder: has the version that answers; started and stopped by the caller.
        log: takes the answers; started and stopped by the caller.
    """

    def __init__(self, options: ServiceOptions, holder: Holder, log: PredictionLog) -> None:
        self._options, self._holder, self._log = options, holder, log
        self._metrics = metrics.Metrics(self._state)
        self._limits = Limits(megapixels=options.max_megapixels, megabytes=options.max_megabytes)
        self._room = asyncio.Semaphore(_BODIES)
        self._workers = ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="synaug-predict")
        app = FastAPI(title="synaug", docs_url=None, redoc_url=None, lifespan=self._life)
        pages: dict[str, tuple[Callable[..., Any], str]] = {
            "/": (self._page, ""),
            "/health": (self._health, "200 once a model is loaded, else 503"),
            "/version": (self._version, "The model and the program"),
            "/metrics": (self._numbers, "Counters, for Prometheus"),
        }
        for path, (page, summary) in pages.items():
            app.add_api_route(path, page, methods=["GET"], summary=summary, include_in_schema=bool(summary))
            app.add_api_route(path, page, methods=["HEAD"], include_in_schema=False)
        app.add_api_route(
            "/predict",
            self._predict,
            methods=["POST"],
            summary="Classify images",
            openapi_extra=_BODY,
            responses=dict.fromkeys(_REFUSALS, _ERROR),
        )
        for kind in (errors.RequestError, HTTPException, Exception):
            app.add_exception_handler(kind, _plainly)
        self.app = guard.Guard(app, token=options.token, metrics=self._metrics)

    @contextlib.asynccontextmanager
    async def _life(self, _app: FastAPI) -> AsyncIterator[None]:
        yield
        self._workers.shutdown(wait=False, cancel_futures=True)

    async def _predict(self, request: Request) -> Response:
        end = time.monotonic() + self._options.seconds
        if request.headers.get("content-encoding", "identity") != "identity":
            raise errors.RequestError(415, "compressed bodies are not read")
        served = self._holder.served
        if served is None:
            raise errors.RequestError(503, f"no model is loaded yet: {self._holder.problem}")
        try:
            async with asyncio.timeout(self._options.seconds):
                await self._room.acquire()
        except TimeoutError:
            raise errors.RequestError(503, "too many requests at once; try again later") from None
        try:
            body = await self._body(request, end)

            def work() -> Answer:
                images = uploads(request.headers.get("content-type"), body, self._options.max_images)
                return answer(served, images, self._limits, end)

            predictions = await asyncio.get_running_loop().run_in_executor(self._workers, work)
        finally:
            self._room.release()
        response = JSONResponse(predictions.as_json())  # first: numbers that JSON has no word for are no answer
        self._metrics.images(predictions.classes())
        self._log.put(predictions)
        return response

    async def _body(self, request: Request, end: float) -> bytes:
        try:
            async with asyncio.timeout(max(0.1, end - time.monotonic())):
                limit = int(self._options.max_megabytes * 1e6)
                return await read_body(request.stream(), request.headers.get("content-length"), limit)
        except TimeoutError:
            raise errors.RequestError(408, "the upload took too long") from None
        except ClientDisconnect:
            raise errors.RequestError(400, "the upload was cut off") from None

    async def _health(self, request: Request) -> Response:
        served, problem = self._holder.served, self._holder.problem
        state: dict[str, Any] = {"status": "ready" if served else "not ready"}
        if guard.may_ask(request.headers, self._options.token):
            state |= {"model": served.name, "version": served.version, "alias": served.alias} if served else {}
            notes = [note for note in (problem, self._log.problem) if note]
            state |= {"notes": notes} if notes else {}
        return JSONResponse(state, 200 if served else 503)

    async def _version(self) -> Response:
        served = self._holder.served
        model = None
        if served is not None:
            model = {
                "name": served.name,
                "version": served.version,
                "alias": served.alias,
                "since": served.since.isoformat(timespec="seconds"),
                "classes": list(served.classifier.classes),
                "size": served.classifier.size,
                "channels": served.classifier.channels,
                "fit": served.preprocessing.fit,
            }
        limits = {
            "megabytes": self._options.max_megabytes,
            "images": self._options.max_images,
            "megapixels": self._options.max_megapixels,
            "seconds": self._options.seconds,
        }
        return JSONResponse({"synaug": metadata.version("synaug"), "model": model, "limits": limits})

    async def _numbers(self) -> Response:
        return Response(self._metrics.text(), headers={"content-type": metrics.CONTENT_TYPE})

    def _state(self) -> dict[str, metrics.Value]:
        served, holder, log = self._holder.served, self._holder, self._log
        version = {"name": served.name, "version": served.version, "alias": served.alias} if served else {}
        since = served.since.timestamp() if served else None
        return {
            "synaug_model_info": ("gauge", "The version that answers.", version, 1.0 if served else None),
            "synaug_model_ready": ("gauge", "1 once a model is loaded.", {}, float(served is not None)),
            "synaug_model_since_seconds": ("gauge", "Unix time since which this version answers.", {}, since),
            "synaug_reloads_total": ("counter", "Versions put in another's place.", {}, holder.reloads),
            "synaug_reload_failures_total": ("counter", "Loads that failed.", {}, holder.failures),
            "synaug_kept_total": ("counter", "Predictions kept.", {}, log.written),
            "synaug_dropped_total": ("counter", "Predictions that could not be kept.", {}, log.dropped),
        }

    async def _page(self) -> Response:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src blob: data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        text = render("serve.html", nonce=nonce, token=self._options.token is not None)
        return Response(text, media_type="text/html", headers={"content-security-policy": policy})


async def _plainly(_request: Request, error: Exception) -> Response:
    """One line for the client: our own refusals, Starlette's (404, 405), and what should not have happened."""
    if isinstance(error, errors.RequestError):
        return guard.refusal(error)
    if not isinstance(error, HTTPException):
        return guard.refusal(errors.RequestError(500, guard.FAILED))
    lines = {404: "there is no such page", 405: "this page does not take that method"}
    return guard.refusal(errors.RequestError(error.status_code, lines.get(error.status_code, "refused")))


_REFUSALS = (400, 401, 403, 408, 413, 415, 421, 422, 503)
_ERROR: dict[str, Any] = {
    "description": "RequestError; one line says why",
    "content": {"application/json": {"schema": {"type": "object", "properties": {"error": {"type": "string"}}}}},
}
_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": {"type": "object", "properties": {"images": _FILES}}},
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {"images": {"type": "array", "items": {"type": "string", "format": "byte"}}},
                }
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
