"""`synaug ui`: both web pages on the local store."""

import contextlib
import sys
from functools import partial
from typing import Annotated

import typer

from synaug.cli import environment, servers
from synaug_core import errors
from synaug_core.services import places, secrets
from synaug_core.services.settings import Settings, child_environment

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
            pages, own_servers = {}, []
            if settings.has_local_tracking:
                own_servers.append(running.enter_context(_mlflow(settings, mlflow_port)))
            else:
                pages["MLflow"] = secrets.redacted(settings.tracking_uri)
            if settings.prefect_api_url is None:
                own_servers.append(running.enter_context(_prefect(settings, prefect_port)))
            else:
                pages["Prefect"] = secrets.redacted(settings.prefect_api_url).removesuffix("/").removesuffix("/api")
            if own_servers:
                typer.echo("starting ...", err=True)
            servers.wait_until_ready(own_servers, timeout=None, notify=partial(typer.echo, err=True))
            pages |= {server.name: server.url for server in own_servers}
            for name, url in sorted(pages.items()):
                typer.echo(f"{name + ':':<9}{url}")
            _print_compare_page(settings, pages["MLflow"])
            if browser:
                servers.open_pages(sorted(pages.values()))
            if own_servers:
                typer.echo("Ctrl-C stops both." if len(own_servers) > 1 else "Ctrl-C stops it.")
                server = servers.wait_for_any(own_servers)
                raise errors.SynaugError(f"{server.name} ended unexpectedly; its log: {server.log}")
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)


def _print_compare_page(settings: Settings, address: str) -> None:
    """Say where the arms of the last retraining stand side by side, if there is one and MLflow can be asked."""
    from synaug_core.services.mlflow import retrainings

    with contextlib.suppress(errors.SynaugError):
        if (newest := retrainings.last_compare_page(settings)) is not None:
            experiment, page = newest
            typer.echo(f"The arms of the last retraining ({experiment}) side by side: {address.rstrip('/')}/{page}")


def _mlflow(settings: Settings, first_port: int) -> contextlib.AbstractContextManager[servers.Server]:
    port = servers.free_port(first_port)
    url = f"http://{servers.HOST}:{port}"
    # Addresses go through the environment: a database's may hold a password, and a command line is public.
    addresses = {"MLFLOW_BACKEND_STORE_URI": settings.tracking_uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    if settings.artifact_root is not None:
        addresses["MLFLOW_DEFAULT_ARTIFACT_ROOT"] = settings.artifact_root
    command = [sys.executable, "-m", "mlflow", "server", "--host", servers.HOST, "--port", str(port), "--workers", "1"]
    variables = child_environment(settings, **addresses)
    log = places.log(settings.home, "mlflow-server")
    return servers.start("MLflow", command, variables, url=url, health=f"{url}/health", log=log)


def _prefect(settings: Settings, first_port: int) -> contextlib.AbstractContextManager[servers.Server]:
    port = servers.free_port(first_port)
    url = f"http://{servers.HOST}:{port}"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", servers.HOST, "--port", str(port)]
    flags = {"PREFECT_UI_API_URL": f"{url}/api"}
    # leases in memory would be lost with this server, and their slots never be free again
    flags["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"] = "prefect.server.concurrency.lease_storage.filesystem"
    variables = child_environment(settings, **flags)
    log = places.log(settings.home, "prefect-ui-server")
    return servers.start("Prefect", command, variables, url=url, health=f"{url}/api/health", log=log)
