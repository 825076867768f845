"""PostgreSQL and S3 of a native stack without the services that use them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from scripts.stack import native, postgres
from synaug.cli.servers import free_port
from synaug_core.errors import UserError

__all__ = ["stores"]


@contextlib.contextmanager
def stores(home: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Run them as long as the block, with roles, databases and bucket made: PostgreSQL's HOST:PORT, and what an S3
    client needs to be told.

    Raises:
        UserError: `home` has no secrets, or a stack runs there.
        SynaugError: one of them did not start.
    """
    if not (home / "secrets" / "mlflow_admin").exists():
        raise UserError(
            f"copy the folder `secrets` of the stack that was backed up to {home / 'secrets'} first: the restored "
            "MLflow knows its administrator by that password"
        )
    for name in ("logs", "pids"):
        (home / name).mkdir(exist_ok=True)
    with contextlib.ExitStack() as running:
        running.enter_context(native.alone(home))
        password = home / "secrets" / "postgres"
        database = running.enter_context(postgres.running(home / "postgres", free_port(15432), password))
        store = running.enter_context(native.s3_server(home))
        stack = native.Stack(home, "", "", database, store.endpoint, store.environment)
        native.set_up(stack, "stores", PGPASSWORD_FILE="postgres")
        yield database, store.environment
