"""Learn rare image classes, make the missing images, and show whether they helped.

>>> import synaug
>>> outcome = synaug.run("my-images", repetitions=6)
>>> outcome.verdict
'gain'

`docs/python.md` shows more. Importing this package loads neither torch nor mlflow nor prefect; using it does.
"""

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synaug.loading import Images, Model, load_images, load_model
    from synaug.retraining import Outcome, run
    from synaug_core.config import Config
    from synaug_core.errors import SynaugError, UserError

__all__ = ["Config", "Images", "Model", "Outcome", "SynaugError", "UserError", "load_images", "load_model", "run"]

_MODULES = {
    "Config": "synaug_core.config",
    "Images": "synaug.loading",
    "Model": "synaug.loading",
    "Outcome": "synaug.retraining",
    "SynaugError": "synaug_core.errors",
    "UserError": "synaug_core.errors",
    "load_images": "synaug.loading",
    "load_model": "synaug.loading",
    "run": "synaug.retraining",
}


class _OwnPackages:
    """Finds the packages that come with this one where it lies, whatever else has their names: a script's folder and a
    notebook's come first on the path, and may hold a `tasks.py` or a folder `flows`."""

    home = Path(__file__).resolve().parent.parent
    names = ("synaug_core", "tasks", "flows", "deployments")

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """What `import` asks each finder; None: another one is asked."""
        file = self.home / name / "__init__.py"
        if name not in self.names or not file.is_file():
            return None
        return spec_from_file_location(name, file, submodule_search_locations=[str(file.parent)])

    def check_loaded(self) -> None:
        """Refuse to go on beside a module of the same name that was loaded first.

        Raises:
            ImportError: there is one.
        """
        for name in self.names:
            file = getattr(sys.modules.get(name), "__file__", None)
            if file is not None and Path(file).resolve().parent != self.home / name:
                raise ImportError(f"synaug has a package {name!r}, and {file} is loaded under that name; rename it")


if not any(type(finder).__name__ == _OwnPackages.__name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, _OwnPackages())
_OwnPackages().check_loaded()


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'synaug' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
