"""Classes by name: naming them when a value is stored, finding them when it is loaded. Runs no class.

A class of the flow's own file is a class of `__main__` while the flow runs, and of `myflow` for whoever
imports the file; it is written as `myflow`, and looked for in `__main__` and in `myflow`. Without trust
only modules that are imported already are looked into: naming a module must not execute it.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import PurePath
from typing import Any

from gitflowrun.artifacts.codecs.payload import Unencodable
from gitflowrun.errors import NotFound, UntrustedArtifact

__all__ = ["find", "main_name", "name_of"]

_MAIN = "__main__"


def main_name() -> str:
    """The name under which the main script could be imported; `__main__` in an interactive session."""
    main = sys.modules.get(_MAIN)
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).removesuffix("." + _MAIN)
    file = getattr(main, "__file__", None)
    return PurePath(file).stem if file else _MAIN


def name_of(cls: type) -> tuple[str, str]:
    """Module and qualified name under which `find` will meet exactly this class.

    Raises:
        Unencodable: there is none (a local or a replaced class).
    """
    module, qualname = cls.__module__, cls.__qualname__
    if _look_up(sys.modules.get(module), qualname) is not cls:
        raise Unencodable(f"class {module}.{qualname} can't be found by its name")
    return (main_name() if module == _MAIN else module), qualname


def find(module: str, qualname: str, *, trusted: bool) -> Any:
    """The object that `qualname` names in `module`.

    Raises:
        UntrustedArtifact: the module would have to be imported for a value that isn't trusted.
        NotFound: the module or the name doesn't exist here.
    """
    for candidate in _candidates(module):
        found = _look_up(sys.modules.get(candidate), qualname)
        if found is not None:
            return found
    if not trusted and module not in sys.modules:
        raise UntrustedArtifact(
            f"the value needs {module}.{qualname}, and importing {module} would run its code",
            hint=f"`import {module}` yourself if you trust it, or trust the run: git runs trust <run>",
        )
    try:
        found = _look_up(importlib.import_module(module), qualname)
    except ImportError as error:
        raise _missing(module, qualname) from error
    if found is None:
        raise _missing(module, qualname)
    return found


def _candidates(module: str) -> tuple[str, ...]:
    """Modules to look into, the main script first if it is the module under its other name."""
    return (_MAIN, module) if module in {_MAIN, main_name()} else (module,)


def _look_up(module: object, qualname: str) -> Any:
    """What is there already: asking for an attribute could run a module's `__getattr__`."""
    found = module
    for part in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found


def _missing(module: str, qualname: str) -> NotFound:
    if module == _MAIN:
        hint = "it was defined in an interactive session; define it here again before loading"
    else:
        hint = f"make module {module} importable here; a flow's file lies in the run's code/"
    return NotFound(f"the value needs {module}.{qualname}, which does not exist here", hint=hint)
