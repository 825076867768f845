"""Whether anybody answers at an HTTP address, asked before anything slow is done with it."""

from __future__ import annotations

import ssl
from typing import Literal

__all__ = ["answers_well", "silence"]


def silence(url: str, seconds: float, method: Literal["GET", "HEAD"] = "GET") -> str | None:
    """Why nobody answers at `url` within so many seconds; None where somebody does, whatever the answer.

    A certificate that is not trusted here is an answer too: the client that is used later may know it.
    """
    import httpx

    try:
        httpx.request(method, url, timeout=seconds)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        return None if _is_about_certificates(error) else str(error) or type(error).__name__
    return None


def answers_well(url: str, seconds: float) -> bool:
    """Whether the answer comes in time and has the status 200."""
    import httpx

    try:
        return httpx.get(url, timeout=seconds).status_code == 200
    except httpx.HTTPError:
        return False


def _is_about_certificates(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
