"""Where the service listens."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from synaug_core.errors import UserError
from synaug_core.serving.server import _listening


def sockets() -> int:
    return sum(
        str(link.readlink()).startswith("socket:") for link in Path("/proc/self/fd").iterdir() if link.is_symlink()
    )


def test_an_address_in_use_leaves_no_socket_behind() -> None:
    with contextlib.closing(_listening("127.0.0.1", 0)) as taken:
        port, before = taken.getsockname()[1], sockets()
        words = rf"^--host 127.0.0.1 --port {port}: cannot be listened at \(address already in use\)$"
        with pytest.raises(UserError, match=words) as caught:
            _listening("127.0.0.1", port)
        assert caught.value.__cause__ is not None  # its frames are alive, and what they hold
        assert sockets() == before


def test_every_address_is_that_of_both_kinds() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with contextlib.closing(_listening("::", 0)) as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port), timeout=5):
                pass
