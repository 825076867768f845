"""`synaug demo`: the main job on scikit-learn's handwritten digits, which need no download."""

from importlib import resources

import typer

from synaug.cli.commands.run import JsonOption, QuietOption, SetOption, retrain_and_report

__all__ = ["demo"]


def demo(ctx: typer.Context, set_: SetOption = None, json_file: JsonOption = None, quiet: QuietOption = False) -> None:
    """Run the whole job on handwritten digits of which some are made rare (a few minutes, no download)."""
    from synaug_core.config.load import load

    with resources.as_file(resources.files("synaug.cli") / "digits.yaml") as path:
        config = load(str(path), set_ or ())
    retrain_and_report(ctx.obj, config, json_file, quiet)
