"""`synaug ui`: both web pages on the local store."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from synaug.cli import environment, servers
from synaug_core.errors import SynaugError
from synaug_core.services.secrets import redacted
from synaug_core.services.settings import child_environment

if TYPE_CHECKING:
    from synaug_core.services.settings import Settings

__all__ = ["ui"]


def ui(
    ctx: typer.Context,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the pages in a browser.")] = True,
    mlflow_port: Annotated[int, typer.Option(help="First port to try for MLflow.", min=1, max=65000)] = 5000,
    prefect_port: Annotated[int, typer.Option(help="First port to try for Prefect.", min=1, max=65000)] = 4200,
) -> None:
    """Show runs (MLflow) and flows (Prefect) of this folder's store in the browser, until Ctrl-C.

    Servers that MLFLOW_TRACKING_URI or PREFECT_API_URL name already are not started again.
    """
    settings = environment.prepare(ctx.obj)
    try:
        with servers.interrupted_by_signals(), contextlib.ExitStack() as running:
            pages, started = {}, []
            if settings.has_local_tracking:
                started.append(running.enter_context(_mlflow(settings, mlflow_port)))
            else:
                pages["MLflow"] = redacted(settings.tracking_uri)
            if settings.prefect_api_url is None:
                started.append(running.enter_context(_prefect(settings, prefect_port)))
            else:
                pages["Prefect"] = redacted(settings.prefect_api_url).removesuffix("/").removesuffix("/api")
            if started:
                typer.echo("starting ...", err=True)
            servers.wait_until_ready(started)
            pages |= {server.name: server.url for server in started}
            for name, url in sorted(pages.items()):
                typer.echo(f"{name + ':':<9}{url}")
            if browser:
                servers.open_pages(sorted(pages.values()))
            if started:
                typer.echo("Ctrl-C stops both." if len(started) > 1 else "Ctrl-C stops it.")
                ended = servers.wait_for_any(started)
                raise SynaugError(f"{ended.name} ended by itself; its log: {ended.log}")
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)


def _mlflow(settings: Settings, first_port: int) -> contextlib.AbstractContextManager[servers.Server]:
    port = servers.free_port(first_port)
    url = f"http://{servers.HOST}:{port}"
    # Addresses go through the environment: a database's may hold a password, and a command line is public.
    places = {"MLFLOW_BACKEND_STORE_URI": settings.tracking_uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    if settings.artifact_root is not None:
        places["MLFLOW_DEFAULT_ARTIFACT_ROOT"] = settings.artifact_root
    command = [sys.executable, "-m", "mlflow", "server", "--host", servers.HOST, "--port", str(port), "--workers", "1"]
    variables = child_environment(settings, **places)
    log = settings.home / "logs" / "mlflow-server.log"
    return servers.start("MLflow", command, variables, url=url, health=f"{url}/health", log=log)


def _prefect(settings: Settings, first_port: int) -> contextlib.AbstractContextManager[servers.Server]:
    port = servers.free_port(first_port)
    url = f"http://{servers.HOST}:{port}"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", servers.HOST, "--port", str(port)]
    places = {"PREFECT_UI_API_URL": f"{url}/api"}
    # leases in memory would be lost with this server, and the slots they stand for taken for ever
    places["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"] = "prefect.server.concurrency.lease_storage.filesystem"
    variables = child_environment(settings, **places)
    log = settings.home / "logs" / "prefect-ui-server.log"
    return servers.start("Prefect", command, variables, url=url, health=f"{url}/api/health", log=log)
