"""`synaug turing`: can people tell the synthetic images from real ones?"""

from typing import Annotated

import typer

from synaug.cli import environment, servers

__all__ = ["turing"]


def turing(
    ctx: typer.Context,
    run: Annotated[
        str, typer.Argument(help="Id (or its first characters) of a synthesis run, an arm or a retraining.")
    ],
    arm: Annotated[
        str | None, typer.Option(help="Of a retraining: whose images; default: the best arm that has synthetic ones.")
    ] = None,
    images: Annotated[
        int | None, typer.Option(help="How many to show, half of them real; default 100.", min=2, max=2000)
    ] = None,
    rater: Annotated[str, typer.Option(metavar="NAME", help="Who answers; default: asked on the page.")] = "",
    port: Annotated[int, typer.Option(help="Port of the page; default: a free one.", min=0, max=65535)] = 0,
    seed: Annotated[int | None, typer.Option(help="Draws other images; default 0.", min=0)] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    result: Annotated[bool, typer.Option("--result", help="Only compute and record the result.")] = False,
) -> None:
    """Show real and synthetic images blind, one at a time, and record how well people tell them apart.

    Several people can answer, each under a name; who comes back goes on where they stopped. Without --images and
    --seed the run's last test goes on. Ctrl-C ends it.
    """
    settings = environment.prepare(ctx.obj)
    environment.import_quietly(["mlflow"])
    from synaug.cli.turing import serving

    test = serving.prepare(settings, run, arm=arm, images=images, seed=seed)
    if result:
        typer.echo(serving.record_result(test).sentence)
        return
    shown = len(test.design.items)
    typer.echo(f"{test.test_images.name}: {shown // 2} real and {shown // 2} synthetic images")
    if images is not None and shown < images - 1:
        typer.echo(f"there are no more than {shown // 2} of each kind in the same classes", err=True)

    def ready(url: str) -> None:
        typer.echo(f"{url}\nCtrl-C ends the test and records the result.")
        if browser:
            servers.open_pages([url])

    with servers.interrupted_by_signals():
        answered = serving.serve(test, rater=rater, port=port, notify=typer.echo, ready=ready)
    if answered:
        typer.echo(f"answers: {test.answers}", err=True)
