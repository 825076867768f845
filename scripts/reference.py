"""Write the reference of the configuration: `docs/configuration.md`, and its JSON schema for editors beside it."""

from pathlib import Path

from synaug_core.config.reference import editor_schema, markdown

PAGES = {"configuration.md": markdown, "configuration.schema.json": editor_schema}
"""File below `docs` -> what writes it."""


def write_reference(folder: Path) -> None:
    """Write every page into `folder`."""
    for name, text in PAGES.items():
        (folder / name).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    write_reference(Path(__file__).parents[1] / "docs")
