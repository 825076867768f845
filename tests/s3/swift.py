"""A real S3 server on loopback: OpenStack Swift with its s3api, from packages in an environment of its own.

No root, no memcached, nothing outside its folder.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ACCESS, SECRET = "team:tester", "an-S3-secret-that-stays"
PIPELINE = "catch_errors gatekeeper healthcheck listing_formats s3api tempauth copy slo dlo symlink proxy-server"
FILTERS = {
    "catch_errors": "", "gatekeeper": "", "healthcheck": "", "listing_formats": "", "copy": "", "slo": "", "dlo": "",
    "symlink": "", "s3api": "location = us-east-1\ns3_acl = false\nallow_multipart_uploads = true\n",
    "tempauth": f"reseller_prefix = AUTH\nuser_{ACCESS.replace(':', '_')} = {SECRET} .admin\n"
    "user_stranger_bob = bobs-own-secret .admin\n",
}  # fmt: skip
_RINGS = """
import sys
from pathlib import Path
from swift.common.ring import RingBuilder
home = Path(sys.argv[1])
for name, port in zip(("object", "container", "account"), map(int, sys.argv[2:])):
    ring = RingBuilder(4, 1, 1)
    at = {"ip": "127.0.0.1", "port": port, "replication_ip": "127.0.0.1", "replication_port": port}
    ring.add_dev({"region": 1, "zone": 1, "device": "disk", "weight": 1.0, "meta": "", **at})
    ring.rebalance(seed=1)
    ring.get_ring().save(str(home / f"{name}.ring.gz"))
"""


@dataclass(frozen=True)
class Swift:
    """A server that runs: its address and the credentials of its one account."""

    endpoint: str
    access: str = ACCESS
    secret: str = SECRET

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to be told."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextlib.contextmanager
def serving(environment: Path, home: Path) -> Iterator[Swift]:
    """Start the four servers on free ports, their state below `home`, and end them with the block.

    Raises:
        RuntimeError: one of them did not start; the text is the end of its log.
    """
    ports = free_ports(4)
    for name in ("etc", "log", "disks/disk", "cache"):
        (home / name).mkdir(parents=True, exist_ok=True)
    _configure(home, ports)
    binaries, servers = environment / "bin", []
    subprocess.run([str(binaries / "python"), "-c", _RINGS, str(home / "etc"), *map(str, ports[:3])], check=True)
    try:
        for name in ("object", "container", "account", "proxy"):
            with (home / "log" / name).open("wb") as log:
                command = [str(binaries / f"swift-{name}-server"), str(home / "etc" / f"{name}.conf")]
                servers.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=home))
        _await_health(f"http://127.0.0.1:{ports[3]}/healthcheck", servers, home / "log")
        yield Swift(f"http://127.0.0.1:{ports[3]}")
    finally:
        for server in servers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait(10)


def _configure(home: Path, ports: list[int]) -> None:
    etc, user = home / "etc", pwd.getpwuid(os.getuid()).pw_name
    (etc / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = tests\nswift_hash_path_prefix = tests\n"
        "[storage-policy:0]\nname = one\ndefault = yes\n"
    )

    def common(port: int) -> str:
        return (
            f"[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {port}\nworkers = 0\nuser = {user}\nswift_dir = {etc}\n"
            f"devices = {home / 'disks'}\nmount_check = false\ndisable_fallocate = true\nfallocate_reserve = 0\n"
            f"log_level = WARNING\n"
        )

    for name, port in zip(("object", "container", "account"), ports, strict=False):
        # Listings follow an upload at once: the default of one second leaves them to a process that does not run.
        own = f"container_update_timeout = 60\nrecon_cache_path = {home / 'cache'}\n"
        app = f"[pipeline:main]\npipeline = {name}-server\n[app:{name}-server]\nuse = egg:swift#{name}\n"
        (etc / f"{name}.conf").write_text(common(port) + own + app)
    filters = "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n{extra}" for name, extra in FILTERS.items())
    app = "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\nerror_suppression_limit = 1000000\n"
    (etc / "proxy.conf").write_text(f"{common(ports[3])}[pipeline:main]\npipeline = {PIPELINE}\n{app}{filters}")


# Here and not in a file of its own: scripts/stack loads this file alone.
def free_ports(number: int) -> list[int]:
    """So many loopback ports that nobody listens at."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _await_health(address: str, servers: list[subprocess.Popen[bytes]], logs: Path, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < end and all(server.poll() is None for server in servers):
        with contextlib.suppress(OSError), opener.open(address, timeout=2):
            return
        time.sleep(0.1)
    raise RuntimeError("\n".join(f"{log.name}: {log.read_text()[-800:]}" for log in sorted(logs.iterdir())))
