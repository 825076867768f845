"""Whether anybody answers at an HTTP address, asked before anything slow is done with it."""

import ssl
from typing import Literal

__all__ = ["is_healthy", "unreachable_reason"]

_GREATEST_PORT = 65_535


def unreachable_reason(url: str, seconds: float, method: Literal["GET", "HEAD"] = "GET") -> str | None:
    """Why nobody answers at `url`; None where somebody does, whatever the answer.

    Proxies are used as the environment says, and redirections are followed. Certificates are left to the client that
    comes after: any is an answer. No more than the answer's head is read, and each wait takes so many seconds at most.
    """
    import httpx

    try:
        if (port := httpx.URL(url).port or 0) > _GREATEST_PORT:  # getaddrinfo would take its last 16 bits
            return f"the port {port} is beyond {_GREATEST_PORT}"
        with httpx.stream(method, url, timeout=seconds, follow_redirects=True, verify=_trusting_nobody()):
            return None
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, OSError, ValueError) as error:  # also: an unusable proxy
        return None if _is_about_a_certificate(error) else str(error) or type(error).__name__


def is_healthy(url: str, seconds: float) -> bool:
    """Whether a server of this machine answers with the status 200; no proxy is asked."""
    import httpx

    try:
        with httpx.stream("GET", url, timeout=seconds, trust_env=False, verify=_trusting_nobody()) as answer:
            return answer.status_code == 200
    except httpx.HTTPError:
        return False


def _trusting_nobody() -> ssl.SSLContext:
    """Made in no time: certificates of authorities, which take 20 ms, are not read."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _is_about_a_certificate(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
