"""Finds `metaflow` and its submodules: modules whose names are looked up in `names` when they are first used."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any, cast

from gitflowrun.compat.config_values import config_value
from gitflowrun.compat.metaflow_modules import MODULES, PLACES, is_of_a_cloud
from gitflowrun.compat.unavailable import unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from types import ModuleType

TOP = "metaflow"
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
        below = fullname.removeprefix(TOP).removeprefix(".")
        if below and below not in MODULES and below not in _PARENTS and not is_of_a_cloud(below):
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: gitflowrun has none by this name of Metaflow's",
                name=fullname,
            )
        return ModuleSpec(fullname, cast("Loader", self), is_package=True)

    def create_module(self, _spec: ModuleSpec) -> ModuleType | None:
        """Python's own."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Give a module its names."""
        below = module.__name__.removeprefix(TOP).removeprefix(".")
        names = MODULES.get(below, "").split()
        children = [it for it in {*MODULES, *_PARENTS} if it.rpartition(".")[0] == below and it]
        shown = [*names, *(it.rpartition(".")[2] for it in children)]

        def look_up(name: str) -> Any:
            value = _found(module.__name__, below, name)
            setattr(module, name, value)
            return value

        module.__doc__ = f"What gitflowrun has by the names of Metaflow's module {module.__name__}."
        module.__dict__.update(
            __getattr__=look_up, __dir__=lambda: sorted({*module.__dict__, *shown}), __all__=names
        )


def _found(module: str, below: str, name: str) -> Any:
    child = f"{below}.{name}".lstrip(".")
    place = PLACES.get(name)
    if place and (name in MODULES.get(below, "").split() or child not in MODULES):
        where, _, own = place.partition(":")
        return getattr(importlib.import_module(where), own or name)
    if child in MODULES or child in _PARENTS:
        return sys.modules.get(f"{module}.{name}") or importlib.import_module(f"{module}.{name}")
    if not name.startswith("__") and is_of_a_cloud(child):
        return unavailable(name)
    if below == "metaflow_config" and name.isupper():
        return config_value(name)
    msg = f"module {module!r} has no attribute {name!r}"
    raise AttributeError(msg)
