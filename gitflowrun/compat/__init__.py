"""Flow files of Metaflow, unmodified: `import metaflow` and its submodules give what this package has.

    python -m gitflowrun existing_flow.py run

does it for one program; `install()` for the process that calls it, and for the tasks of its runs. A directory with
nothing but a package `metaflow` whose `__init__.py` calls it does it for whatever has that directory in PYTHONPATH.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, cast

from gitflowrun import entry_point
from gitflowrun.cards import card_types
from gitflowrun.compat.extensions import decospecs, register_cards
from gitflowrun.compat.finder import TOP, MetaflowFinder
from gitflowrun.compat.metaflow_modules import class_named
from gitflowrun.errors import UsageError
from gitflowrun.flow import failure

if TYPE_CHECKING:
    from importlib.abc import MetaPathFinder


def install() -> None:
    """Have `import metaflow`, and of every submodule that it has, give what this package has by these names.

    Metaflow itself is found no more in this process, whether it is installed or not. Exceptions that flows raise are
    stored under the names that Metaflow has for their classes. Interpreters that this process starts do the same, by
    PYTHONPATH. A second call does nothing.

    Raises:
        UsageError: Metaflow itself was imported before.
    """
    if any(isinstance(it, MetaflowFinder) for it in sys.meta_path):
        return
    other = sys.modules.get(TOP)
    is_calling = getattr(getattr(other, "__spec__", None), "_initializing", False)
    if other is not None and not is_calling:
        raise UsageError(
            f"metaflow was imported before, from {getattr(other, '__file__', None) or 'somewhere'}",
            hint="call gitflowrun.compat.install() before anything imports metaflow",
        )
    sys.meta_path.insert(0, cast("MetaPathFinder", MetaflowFinder()))
    failure.class_names = class_named
    card_types.sources.append(register_cards)
    entry_point.default_decospecs = decospecs
    entry_point.through = ("-m", "gitflowrun")
    _hand_on()
    if other is not None:  # it gives way to ours
        del sys.modules[TOP]
        importlib.import_module(TOP)


def _hand_on() -> None:
    """Have interpreters that the program starts find this package as Metaflow: spawned processes, other flows."""
    place = os.path.join(os.path.dirname(__file__), "shim")  # noqa: PTH118, PTH120  (pathlib is an import)
    if place not in sys.path:
        sys.path.append(place)
    others = [it for it in os.environ.get("PYTHONPATH", "").split(os.pathsep) if it and it != place]
    os.environ["PYTHONPATH"] = os.pathsep.join([place, *others])
