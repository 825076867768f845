"""Credentials out of everything that is shown or stored."""

import re

__all__ = ["first_line", "redacted"]

_USER_INFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/@\s]*:[^/\s]*@", re.IGNORECASE)
_NAMED = re.compile(
    r"(?P<name>(?:x-amz-)?(?:password|passwd|pwd|secret|token|signature|credential|api[_-]?key|access[_-]?key)"
    r"[a-z_-]*[\"']?\s*[=:]\s*)(?P<quote>[\"']?)[^\s&\"',;)]+",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(?P<kind>bearer|basic)\s+[A-Za-z0-9+/=._-]{8,}", re.IGNORECASE)


def redacted(text: str) -> str:
    """The text with passwords in addresses, values named like secrets and bearer tokens replaced by `***`."""
    text = _USER_INFO.sub(r"\g<scheme>***@", text)
    text = _NAMED.sub(r"\g<name>\g<quote>***", text)
    return _BEARER.sub(r"\g<kind> ***", text)


def first_line(error: BaseException, length: int = 500) -> str:
    """An error's kind and the first line of its text, without secrets. Where that line ends in a colon, the next one
    that says something follows it: MLflow lists files under headings."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    text = lines[0] if lines else ""
    if text.endswith(":"):
        text = " ".join([text, *[line for line in lines[1:] if line and not line.startswith("#")][:1]])
    return redacted(f"{type(error).__name__}: {text}" if text else type(error).__name__)[:length]
