"""`synaug turing`: a visual Turing test, whether people can tell synthetic images from real ones."""

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
        str | None, typer.Option(help="Arm of a retraining; default: the best one with synthetic images.")
    ] = None,
    images: Annotated[
        int | None, typer.Option(help="How many images to show, half of them real; default 100.", min=2, max=2000)
    ] = None,
    rater: Annotated[str, typer.Option(metavar="NAME", help="Name of the rater; default: asked for on the page.")] = "",
    port: Annotated[int, typer.Option(help="Port of the page; default: a free one.", min=0, max=65535)] = 0,
    seed: Annotated[int | None, typer.Option(help="Seed that draws the images; default 0.", min=0)] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    result: Annotated[bool, typer.Option("--result", help="Only compute and record the result.")] = False,
) -> None:
    """Show real and synthetic images blind, one at a time, and record how well people tell them apart.

    Several raters can answer, each under a name, and continue later where they stopped. Without --images and --seed
    the run's last test continues. Ctrl-C ends it.
    """
    settings = environment.prepare(ctx.obj)
    environment.import_quietly(["mlflow"])
    from synaug.cli.turing import serving

    test = serving.prepare(settings, run, arm=arm, images=images, seed=seed)
    if result:
        typer.echo(serving.record_result(test).sentence)
        return
    image_count = len(test.design.items)
    typer.echo(f"{test.rated_images.name}: {image_count // 2} real and {image_count // 2} synthetic images")
    if images is not None and image_count < images - 1:
        typer.echo(f"the classes with both kinds have no more than {image_count // 2} images of each", err=True)

    def ready(url: str) -> None:
        typer.echo(f"{url}\nCtrl-C ends the test and records the result.")
        if browser:
            servers.open_pages([url])

    with servers.interrupted_by_signals():
        has_answers = serving.serve(test, rater=rater, port=port, notify=typer.echo, ready=ready)
    if has_answers:
        typer.echo(f"answers: {test.answers}", err=True)
