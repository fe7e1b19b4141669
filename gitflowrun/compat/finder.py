"""Finds `metaflow` and its submodules: modules whose names are looked up in `names` when they are first used."""

from __future__ import annotations

import importlib
import re
import sys
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any, cast

from gitflowrun.compat.config_values import config_names, config_value
from gitflowrun.compat.extensions import extensions
from gitflowrun.compat.helpers import VERSION
from gitflowrun.compat.known_names import defined_in, known_names, python_name
from gitflowrun.compat.metaflow_modules import MODULES, PLACES
from gitflowrun.compat.unavailable import unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from types import ModuleType

TOP = "metaflow"
_CONFIG = "metaflow_config"
_LIBRARIES = "_vendor."
_ORIGINAL = re.compile(r"\._orig(?=\.|$)")
_PARENTS = {name.rpartition(".")[0] for name in MODULES}


class MetaflowFinder:
    """Finds what Metaflow has, and says of all else below its name that it is not there.

    A finder and a loader by their methods: the base classes take longer to import than all that is here.
    """

    def find_spec(
        self,
        fullname: str,
        _path: Sequence[str] | None = None,
        _target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The module of a name, if it is one of Metaflow's."""
        if fullname != TOP and not fullname.startswith(f"{TOP}."):
            return None
        below = _below(fullname)
        if not (_is_module(below) or _added(below)):
            return None  # nobody else finds it, as the path of a package of ours is empty
        return ModuleSpec(fullname, cast("Loader", self), is_package=True)

    def create_module(self, _spec: ModuleSpec) -> ModuleType | None:
        """Python's own."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Give a module its names, or put that of an extension in its place."""
        below = _below(module.__name__)
        if (added := _added(below)) and not _ORIGINAL.search(module.__name__):
            other = sys.modules[module.__name__] = _imported(added, module.__name__)
            vars(other).setdefault("__path__", [])  # what it has replaced lies below it
            return

        def look_up(name: str) -> Any:
            value = _found(module.__name__, below, name)
            setattr(module, name, value)
            return value

        def listed() -> list[str]:
            known = {*MODULES, *_PARENTS, *extensions().modules}
            below_it = [it.rpartition(".")[2] for it in known if it.rpartition(".")[0] == below]
            return sorted({*vars(module), *_names(below), *filter(None, below_it)})

        module.__doc__ = f"What gitflowrun has by the names of Metaflow's module {module.__name__}."
        # Extensions import from it while they are looked for.
        vars(module).update(__getattr__=look_up, __dir__=listed, __file__=__file__)


def _imported(name: str, metaflows: str) -> ModuleType:
    """The module that stands for one of Metaflow's."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not metaflows.startswith(f"{TOP}.{_LIBRARIES}") or error.name != name.partition(".")[0]:
            raise
        words = f"No module named {metaflows!r}: gitflowrun brings no {error.name}, which is not installed"
        raise ModuleNotFoundError(words, name=metaflows) from None


def _names(below: str) -> list[str]:
    of_config = config_names() if below == _CONFIG else ()
    return [*MODULES.get(below, "").split(), *of_config, *extensions().names.get(below, ())]


def _is_module(below: str) -> bool:
    return below in MODULES or below in _PARENTS or below in known_names()


def _below(module: str) -> str:
    """What follows `metaflow.` in the name of a module, of one that an extension has replaced its own name."""
    return _ORIGINAL.sub("", module.removeprefix(TOP).removeprefix("."))


def _added(below: str) -> str | None:
    """The module that stands for one of Metaflow's, or for one in it: an extension's, or a library that it brings."""
    if below.startswith(_LIBRARIES):
        return below.removeprefix(_LIBRARIES)
    name, rest = below, ""
    while name:
        if name in extensions().modules:
            return f"{extensions().modules[name]}{rest}"
        name, _, last = name.rpartition(".")
        rest = f".{last}{rest}"
    return None


def _found(module: str, below: str, name: str) -> Any:
    if name.startswith("__"):
        return _dunder(module, below, name)
    child = f"{below}.{name}".lstrip(".")
    more = extensions().names.get(below, {})
    if name in more:
        return more[name]
    place = PLACES.get(name)
    if place and (name in MODULES.get(below, "").split() or not _is_module(child)):
        where, _, own = place.partition(":")
        return getattr(importlib.import_module(where), own or name)
    if _is_module(child) or _added(child):
        return sys.modules.get(f"{module}.{name}") or importlib.import_module(f"{module}.{name}")
    return _stand_in(module, below, name)


def _dunder(module: str, below: str, name: str) -> Any:
    if name == "__all__":
        return _names(below)
    if name == "__version__" and not below:
        return VERSION
    raise _absent(module, name)


def _stand_in(module: str, below: str, name: str) -> Any:
    if name in config_names():  # other modules import them
        more = extensions().names[_CONFIG]
        return more[name] if name in more else config_value(name)
    definer = "plugins.datatools.s3.s3" if name == "S3" else defined_in(name, below)
    if definer is None:
        of_python = None if below in MODULES else python_name(name)
        if of_python is None:
            raise _absent(module, name)
        return of_python
    return unavailable(name, definer)


def _absent(module: str, name: str) -> AttributeError:
    return AttributeError(f"module {module!r} has no attribute {name!r}")
