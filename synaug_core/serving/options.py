"""What the prediction service is started with."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from synaug_core import errors, vocabulary
from synaug_core.services.settings import serve_token

__all__ = ["ServiceOptions", "is_loopback", "read_token"]

_VARIABLE = "SYNAUG_SERVE_TOKEN"
_SHORTEST_TOKEN = 16
_LONGEST_TOKEN = 4096


@dataclass(frozen=True)
class ServiceOptions:
    """Model, address, limits and log of one service.

    Attributes:
        model: registered model.
        alias: which of its versions is served.
        host: name or address to listen at.
        port: 0 takes a free one.
        token: what requests must carry; None: nothing, which only loopback addresses may do.
        poll: seconds between two looks at the alias.
        device: auto, cpu or cuda.
        log: what is kept of each image.
        log_megabytes: most that all kept predictions of the model take; the oldest go first.
        max_megabytes: of one request's body.
        max_images: in one request.
        max_megapixels: of one image.
        seconds: that one request may take, its upload included.
    """

    model: str
    alias: vocabulary.Alias = "champion"
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    poll: float = 5.0
    device: str = "auto"
    log: vocabulary.LogMode = "features"
    log_megabytes: float = 500.0
    max_megabytes: float = 32.0
    max_images: int = 128
    max_megapixels: float = 50.0
    seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise errors.UserError(
                f"--host {self.host}: whoever reaches this address could use the service; give --token-file, "
                f"or set {_VARIABLE}"
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address; a name other than localhost is not resolved, and counts as no."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_token(file: Path | None) -> str | None:
    """The token in a file, else in the variable SYNAUG_SERVE_TOKEN; None where neither is given.

    Raises:
        UserError: the file cannot be read, or what is there is no token.
    """
    if file is None:
        token = serve_token()
        return _checked(token, _VARIABLE) if token else None
    try:
        with file.open("rb") as opened:
            data = opened.read(_LONGEST_TOKEN + 1)
        text = data.decode("ascii").strip()
    except OSError as error:
        raise errors.UserError(
            f"--token-file {file}: cannot be read ({(error.strerror or 'unknown reason').lower()})"
        ) from error
    except UnicodeDecodeError as error:
        raise errors.UserError(f"--token-file {file}: a token has printable ASCII characters only") from error
    return _checked(text, f"--token-file {file}")


def _checked(text: str, origin: str) -> str:
    if not _SHORTEST_TOKEN <= len(text) <= _LONGEST_TOKEN:
        raise errors.UserError(f"{origin}: a token has {_SHORTEST_TOKEN} to {_LONGEST_TOKEN} characters")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise errors.UserError(f"{origin}: a token has printable ASCII characters only, and no spaces")
    return text
