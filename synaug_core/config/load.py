"""From what a user types to a checked configuration."""

import contextlib
import difflib
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from synaug_core import errors, names
from synaug_core.config import keys, root, yaml_text
from synaug_core.config.classifier import Range, name_weights
from synaug_core.config.generator import VAEConfig, sectioned
from synaug_core.data import sources
from synaug_core.s3_address import S3Address, s3_address

__all__ = ["checked", "load", "override", "set_key", "starting_values"]

_MAX_BYTES = 256 * 1024
_SHOWN = 200
_CLOSE = 0.75
_DEFAULTS = root.Config()
_FILES = (("data", "metadata"), ("classifier", "weights_file"))


def load(source: str, overrides: Sequence[str] = ()) -> root.Config:
    """The configuration that `source` and the overrides stand for; every path in it is absolute.

    Args:
        source: a YAML file, whose relative paths start at its folder; or just the data, as
            `data.source`. `name` is by default made from the file's or folder's name.
        overrides: `key=value` with dotted keys and YAML values; relative paths start at the working directory.

    Raises:
        ConfigError: one line for each thing that does not fit.
    """
    values = starting_values(source)
    if "sweep" in values or any(text.partition("=")[0].strip() == "sweep" for text in overrides):
        raise errors.ConfigError(f"{source}: has a section `sweep`: use `synaug sweep {source}`")
    for text in overrides:
        override(values, text)
    return checked(values)


def starting_values(source: str) -> dict[str, Any]:
    """What `source` says, with absolute paths and a name, before anything is checked."""
    if not source.strip():
        raise errors.ConfigError(
            "SOURCE: nothing was given; give a YAML file, or just the images (is a variable empty?)"
        )
    if sources.is_built_in(source):
        return sources.built_in_settings(source)
    if "://" in source:
        address = _s3(source, "SOURCE")
        name = Path(address.name).stem if address.is_file else address.name
        return {"name": _name(name), "data": {"source": str(address)}}
    _path(Path.cwd(), source, "SOURCE")
    path = Path(source).expanduser()
    if path.suffix.lower() in {".yaml", ".yml"} and not path.is_dir():
        values = _read(path)
        _absolute(values, path.resolve().parent)
        return {"name": _name(path.resolve().stem), **values}
    location = _data_source(source, Path.cwd(), "SOURCE")
    resolved = Path(location)
    is_named_by_folder = resolved.suffix.lower() in sources.LABEL_SUFFIXES and resolved.is_file()
    name = resolved.parent.name if is_named_by_folder else resolved.name if resolved.is_dir() else resolved.stem
    return {"name": _name(name), "data": {"source": location}}


def _name(text: str) -> str:
    return names.slug(text).lstrip("-_")[:63] or "data"


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise errors.ConfigError(f"{path}: cannot be read ({(error.strerror or 'no such file').lower()})") from error
    if len(raw) > _MAX_BYTES:
        raise errors.ConfigError(f"{path}: larger than {_MAX_BYTES // 1024} kB, which no configuration is")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise errors.ConfigError(f"{path}: not a text file in UTF-8") from error
    values = yaml_text.parse(text, str(path))
    if not isinstance(values, dict):
        content = "nothing" if values is None else "a list" if isinstance(values, list) else "a single value"
        raise errors.ConfigError(
            f"{path}: a configuration is a mapping of keys to values, and this file holds {content}"
        )
    data = values.get("data")
    if isinstance(data, dict) and isinstance(data.get("classes"), list):
        data["classes"] = yaml_text.parse(text, str(path), words=True)["data"]["classes"]
    return values


def _data_source(source: str, start: Path, key: str) -> str:
    """The name of a built-in source, an address in S3, or the absolute path of a folder or file."""
    if not source.strip():
        raise errors.ConfigError(f"{key}: nothing was given; give {sources.WHAT_TO_GIVE}")
    if sources.is_built_in(source):
        return source
    if "://" in source:
        return str(_s3(source, key))
    path = _path(start, source, key)
    suffixes = (*sources.FILE_SUFFIXES, *sources.LABEL_SUFFIXES)
    if path.is_dir() or (path.is_file() and path.suffix.lower() in suffixes):
        return str(path)
    if not path.exists():
        elsewhere = f" (looked for {path})" if str(path) != source else ""
        raise errors.ConfigError(f"{key}: {source!r} does not exist{elsewhere}{_nearest_beside(path)}")
    raise errors.ConfigError(f"{key}: {source!r} is not usable; give {sources.WHAT_TO_GIVE}")


def _nearest_beside(path: Path) -> str:
    """`; is NAME meant?` with the name in a path's folder that is most like the path's, if any is."""
    try:
        siblings = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, siblings, 1, _CLOSE)
    return f"; is {close[0]} meant?" if close else ""


def _s3(source: str, key: str) -> S3Address:
    scheme = source.partition("://")[0]
    if scheme != "s3":
        raise errors.ConfigError(
            f"{key}: {scheme}:// is not read; give s3://bucket/prefix, or copy the images into a folder"
        )
    try:
        return s3_address(source)
    except ValueError as error:
        raise errors.ConfigError(f"{key}: {error}") from None  # the text may hold credentials


def _path(start: Path, text: str, key: str) -> Path:
    """The absolute path that `text` means below `start`, or one line on why it cannot be a path."""
    try:
        path = (start / Path(text).expanduser()).resolve()
        path.exists()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in it, a name too long, the home of nobody
        raise errors.ConfigError(f"{key}: {text[:60]!r} cannot be a path") from error
    return path


def _absolute(values: Mapping[str, Any], start: Path) -> None:
    """Resolve every relative path in `values` against `start`, in place; a metadata file's only if it is there."""
    data = values.get("data")
    if isinstance(data, dict) and isinstance(data.get("source"), str) and data["source"].strip():
        # A source that does not exist may still be replaced by an override: `checked` looks again.
        with contextlib.suppress(errors.ConfigError):
            data["source"] = _data_source(data["source"], start, "data.source")
        if sources.is_path(data["source"]):
            data["source"] = str(_path(start, data["source"], "data.source"))
    for paste in _pastes(values):
        paste["masks"] = str(_path(start, paste["masks"], "synthesis.paste.masks"))
    for section, key in _FILES:
        inner = values.get(section)
        if isinstance(inner, dict) and isinstance(inner.get(key), str):
            path = _path(start, inner[key], f"{section}.{key}")
            # A metadata file that is not here may yet be in the source's folder, which an override may replace.
            if key != "metadata" or path.is_file() or Path(inner[key]).expanduser().is_absolute():
                inner[key] = str(path)


def _pastes(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The sections `synthesis.paste` that name a folder of masks: of the run, its arms and a sweep's recipes."""
    sweep = values.get("sweep")
    recipes = sweep.get("recipes") if isinstance(sweep, dict) else None
    lists = [values.get("arms"), *(recipes.values() if isinstance(recipes, dict) else ())]
    for section in (values, *(arm for arms in lists if isinstance(arms, list) for arm in arms)):
        synthesis = section.get("synthesis") if isinstance(section, dict) else None
        paste = synthesis.get("paste") if isinstance(synthesis, dict) else None
        if isinstance(paste, dict) and isinstance(paste.get("masks"), str):
            yield paste


def _labels_beside_images(values: Mapping[str, Any]) -> None:
    """Where the source is a file that names classes, the images are those of its folder; in place.

    Raises:
        ConfigError: another file is named too.
    """
    data = values.get("data")
    source = data.get("source") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(source, str) or not sources.is_path(source):
        return
    path = Path(source)
    if path.suffix.lower() in sources.LABEL_SUFFIXES and path.is_file():
        if data.get("metadata") not in (None, source):
            raise errors.ConfigError("data.metadata: data.source is such a file already; give the folder of the images")
        data.update(source=str(path.parent), metadata=source)


def _seek_in_source(values: Mapping[str, Any]) -> None:
    """Make the path of a metadata file that is in the source's folder absolute, in place."""
    data = values.get("data")
    if not isinstance(data, dict):
        return
    source, metadata = data.get("source", "digits"), data.get("metadata")
    if isinstance(source, str) and sources.is_path(source) and isinstance(metadata, str):
        path = _path(Path(source), metadata, "data.metadata")
        if path.is_file():
            data["metadata"] = str(path)


def override(values: dict[str, Any], text: str) -> None:
    """Put `key=value` into the values, in place.

    Raises:
        ConfigError: an unknown key, or not of this form.
    """
    key, separator, value = text.partition("=")
    argument = f"--set {text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'}"
    if not separator or not key.strip():
        raise errors.ConfigError(f"{argument}: expected key=value, such as --set repetitions=6")
    parsed = yaml_text.parse(value, argument)
    if key.strip() == "data.classes" and isinstance(parsed, list):
        parsed = yaml_text.parse(value, argument, words=True)
    set_key(values, key.strip(), parsed, argument)


def set_key(values: dict[str, Any], key: str, value: Any, argument: str) -> None:
    """Put a value under a dotted key, in place; `argument` names the culprit in an error. Raises as `override`."""
    path = _current(key.split("."))
    if not _is_known(path):
        raise errors.ConfigError(f"{argument}: unknown key {key[:_SHOWN]}; {keys.suggest_keys(key)}")
    leaf = branch = {path[-1]: value}
    for part in reversed(path[:-1]):
        branch = {part: branch}
    _absolute(branch, Path.cwd())
    _use_sections(values)
    target, default = values, typing.cast(Any, _DEFAULTS)
    for part in path[:-1]:
        default = getattr(default, part, None)
        if not isinstance(target.get(part), dict):
            # Half of a range keeps its other half from the defaults.
            target[part] = default.model_dump() if isinstance(default, Range) else {}
        target = target[part]
    target[path[-1]] = leaf[path[-1]]


def _current(path: list[str]) -> list[str]:
    """`generator.beta` and `generators.NAME.beta`, as version 0.1.0 called them, with their section in between."""
    depth = {"generator": 1, "generators": 2}.get(path[0])
    is_old = depth == len(path) - 1 and path[-1] in VAEConfig.model_fields
    return [*path[:-1], "vae", path[-1]] if is_old else path


def _use_sections(values: dict[str, Any]) -> None:
    """Move keys of generators from where version 0.1.0 had them into their sections, in place."""
    if isinstance(generator := values.get("generator"), dict):
        values["generator"] = sectioned(generator)
    if isinstance(generators := values.get("generators"), dict):
        values["generators"] = {name: sectioned(v) if isinstance(v, dict) else v for name, v in generators.items()}


def _is_known(path: Sequence[str]) -> bool:
    annotations = keys.known_keys()
    if ".".join(path) in annotations or ".".join((path[0], "*", *path[2:])) in annotations:
        return True
    parent = ".".join(path[:-1])
    return parent in annotations and keys.is_open_mapping(annotations[parent])


def _keep_text(values: dict[str, Any]) -> None:
    """Names that look like numbers or truth values are text: `name: 2024`, or classes that come from a program."""

    def text(value: Any) -> Any:
        return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int) else value

    if "name" in values:
        values["name"] = text(values["name"])
    data = values.get("data")
    if isinstance(data, dict) and isinstance(data.get("classes"), list):
        data["classes"] = [text(c) for c in data["classes"]]
    if isinstance(data, dict) and isinstance(data.get("per_class"), dict):
        data["per_class"] = {text(name): count for name, count in data["per_class"].items()}


def checked(values: dict[str, Any]) -> root.Config:
    """The configuration that the values stand for.

    Raises:
        ConfigError: one line for each thing that does not fit.
    """
    _keep_text(values)
    _use_sections(values)
    if isinstance(classifier := values.get("classifier"), dict):
        values["classifier"] = name_weights(classifier)
    _labels_beside_images(values)
    _seek_in_source(values)
    lines = keys.misfits(values) or _refused(values)
    if lines:
        raise errors.ConfigError("\n".join(lines))
    try:
        config = root.Config.model_validate(values)
    except ValidationError as error:
        raise errors.ConfigError("\n".join(keys.problems(error, values))) from error
    _data_source(config.data.source, Path.cwd(), "data.source")
    for section_name, key in _FILES:
        file = getattr(getattr(config, section_name), key)
        if file is not None and not Path(file).is_absolute():
            raise errors.ConfigError(
                f"{section_name}.{key}: there is no file {file} beside the configuration (for --set: in the working "
                "directory) or in the source's folder"
            )
        if file is not None and not Path(file).is_file():
            raise errors.ConfigError(f"{section_name}.{key}: the file {file} does not exist")
    return config


def _refused(values: dict[str, Any]) -> list[str]:
    """Lines for what sections refuse. One by one: the configuration as a whole reports them without their names."""
    lines: list[str] = []
    remaining = dict(values)
    for name, info in root.Config.model_fields.items():
        section = info.annotation
        if name in values and isinstance(section, type) and issubclass(section, BaseModel):
            try:
                section.model_validate(remaining.pop(name))
            except ValidationError as error:
                lines += keys.problems(error, values, name)
    try:
        root.Config.model_validate(remaining)
    except ValidationError as error:
        lines += keys.problems(error, values)
    return lines
