"""`synaug serve`: a registered model behind HTTP."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from synaug.cli import environment, registered, servers
from synaug_core import errors, vocabulary

__all__ = ["serve"]


def serve(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="Registered model, NAME (its champion) or NAME@ALIAS; no version.")],
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen at; any but this machine's own needs a token.")
    ] = "127.0.0.1",
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token that requests must carry; default: the variable SYNAUG_SERVE_TOKEN."),
    ] = None,
    log: Annotated[
        vocabulary.LogMode,
        typer.Option(
            help="What is kept of each image for `synaug watch`: its features, the small image itself, or nothing."
        ),
    ] = "features",
    log_megabytes: Annotated[float, typer.Option(help="Most that kept predictions take on the disk.", min=1)] = 500.0,
    poll: Annotated[float, typer.Option(help="Seconds between two looks for a new version.", min=0.1)] = 5.0,
    max_megabytes: Annotated[float, typer.Option(help="Largest request.", min=0.001)] = 32.0,
    max_images: Annotated[int, typer.Option(help="Most images in one request.", min=1)] = 128,
    max_megapixels: Annotated[float, typer.Option(help="Largest image.", min=0.001, max=178)] = 50.0,
    seconds: Annotated[float, typer.Option(help="Longest that one request may take.", min=0.1)] = 30.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Classify images over HTTP: POST them to /predict, or drop one on the page.

    A version that is promoted is taken up within seconds, without a failed request. Ctrl-C ends it.
    """
    from synaug_core.serving.options import ServiceOptions, read_token

    name, alias = registered.name_and_alias(model)
    if not name or "/" in name:
        raise errors.UserError(f"MODEL: {model!r} is no registered model's name; `synaug models list` shows them")
    settings = environment.prepare(ctx.obj)
    environment.import_quietly(["mlflow"])
    from synaug_core.serving.server import serve as run

    options = ServiceOptions(
        model=name,
        alias=alias,
        host=host,
        port=port,
        token=read_token(token_file),
        poll=poll,
        device=device,
        log=log,
        log_megabytes=log_megabytes,
        max_megabytes=max_megabytes,
        max_images=max_images,
        max_megapixels=max_megapixels,
        seconds=seconds,
    )
    # uvicorn ends in order at both signals, and then raises them again
    with contextlib.suppress(KeyboardInterrupt), servers.interrupted_by_signals():
        run(
            settings,
            options,
            announce=lambda line: typer.echo(line, err=True),
            ready=lambda url: typer.echo(f"{url}\nCtrl-C ends it."),
        )
    typer.echo("stopped", err=True)
