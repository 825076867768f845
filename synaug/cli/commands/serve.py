"""`synaug serve` and `synaug watch`: a registered model behind HTTP, and whether the images it is sent have drifted."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from synaug.cli import environment, output, servers
from synaug.cli.commands.run import JsonOption, SetOption
from synaug_core import errors, vocabulary
from synaug_core.serving.options import ServiceOptions, read_token

__all__ = ["serve", "watch"]


def serve(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="Registered model, NAME (its champion) or NAME@ALIAS; no version.")],
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen at; any other than this machine's own needs a token.")
    ] = "127.0.0.1",
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token that requests must carry; default: the variable SYNAUG_SERVE_TOKEN."),
    ] = None,
    log: Annotated[
        vocabulary.LogMode,
        typer.Option(
            help="What is logged of each image for `synaug watch`: its features, the small image itself, or nothing."
        ),
    ] = "features",
    log_megabytes: Annotated[float, typer.Option(help="Disk space for logged predictions.", min=1)] = 500.0,
    poll: Annotated[float, typer.Option(help="Seconds between two checks for a new version.", min=0.1)] = 5.0,
    max_megabytes: Annotated[float, typer.Option(help="Largest request.", min=0.001)] = 32.0,
    max_images: Annotated[int, typer.Option(help="Most images in one request.", min=1)] = 128,
    max_megapixels: Annotated[float, typer.Option(help="Largest image.", min=0.001, max=178)] = 50.0,
    seconds: Annotated[float, typer.Option(help="Time limit of one request.", min=0.1)] = 30.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Classify images over HTTP: POST them to /predict, or drop one on the page.

    A newly promoted version answers within seconds, and no request fails meanwhile. Ctrl-C ends the service.
    """
    from synaug.cli import stored

    name, alias = stored.name_and_alias(model)
    if not name or "/" in name:
        raise errors.UserError(
            f"MODEL: {model!r} is not the name of a registered model; `synaug models list` shows them"
        )
    settings = environment.prepare(ctx.obj)
    environment.import_quietly(["mlflow"])
    from synaug_core.serving import server

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
        server.serve(
            settings,
            options,
            announce=lambda line: typer.echo(line, err=True),
            ready=lambda url: typer.echo(f"{url}\nCtrl-C ends it."),
        )
    typer.echo("stopped", err=True)


def watch(
    ctx: typer.Context,
    source: Annotated[
        str, typer.Argument(help="The configuration that the model was trained with, as for `synaug run`.")
    ],
    set_: SetOption = None,
    json_file: JsonOption = None,
) -> None:
    """Test for drift: compare the champion's recent images (logged by `synaug serve`) with its test images.

    Reports drift only at its part of the significance level `watch.level`; records a run in MLflow, and starts
    `watch.deployment` where one is named.
    """
    from synaug_core.config.load import load

    config = load(source, set_ or ())
    output.check_place(json_file)
    settings = environment.prepare(ctx.obj)
    with environment.stop_on_ctrl_c("stopping"), environment.orchestrator(settings):
        environment.import_quietly(["flows.watch"])
        from flows.watch import run_watch

        outcome = run_watch(config)
    output.write_json(outcome, json_file)
    retraining = [outcome.retraining] if outcome.retraining else []
    output.print_lines(
        f"{outcome.model} version {outcome.version}: {outcome.sentence}",
        *retraining,
        f"Run {outcome.run_id}; `synaug ui` shows it.",
    )
