"""Extension packages for Metaflow: what lies below `metaflow_extensions.<organisation>`.

A directory `config`, `exceptions`, `toplevel` or `plugins` there says in `mfextinit_*.py`, or in its `__init__.py`,
what it adds, as Metaflow 2.19 reads it:

- config: names are values of `metaflow.metaflow_config`; `TOGGLE_DECOSPECS` names decorators of all steps;
- exceptions: names of `metaflow.exception`;
- toplevel: the module beside it that `toplevel` names has names of `metaflow`, the one that `module_overrides` names
  has promoted modules;
- plugins: `STEP_DECORATORS_DESC`, `FLOW_DECORATORS_DESC`, each a list of a decorator's name and the place of its class,
  which becomes a name of `metaflow`, and one for `--with`;
- plugins/cards: a package in it, or `mfextinit_*.py` there or in one, has a list `CARDS` of types of cards;
- any: `__mf_promote_submodules__`, modules beside it that are found below `metaflow` as well, of `toplevel` those of
  the organisation; so are modules of the organisation that it imports.
  One of a name that this package has takes its place, and the one of this package is its `_orig`.

A package that can't be imported is left out, with a warning, and the program goes on without it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TOP = "metaflow_extensions"
_KINDS = ("config", "exceptions", "toplevel", "plugins")
_INIT = re.compile(r"(mfextinit_[A-Za-z0-9_-]+|__init__)\.py")
_TOGGLED = "TOGGLE_DECOSPECS"
_PROMOTED = "__mf_promote_submodules__"


class Extensions(NamedTuple):
    """What extension packages add.

    Attributes:
        names: Names of `metaflow`, by module of it (`""` is itself): name to value.
        modules: Modules below `metaflow`, and what they are.
    """

    names: dict[str, dict[str, Any]]
    modules: dict[str, str]


_found: list[Extensions] = []


def extensions() -> Extensions:
    """What there is, by what lies in `sys.path`; while it is looked for, what is known already.

    Warns of what can't be imported.
    """
    if _found:  # also for extensions that import from Metaflow
        return _found[0]
    found = Extensions({"": {}, "exception": {}, "metaflow_config": {}}, {})
    _found.append(found)
    for organisation, kind, module in _initial_modules():
        name = ".".join((_TOP, organisation, kind, *module))
        with _left_out(name):
            _add(found, organisation, kind, importlib.import_module(name))
    return found


@contextlib.contextmanager
def _left_out(name: str) -> Iterator[None]:
    """Go on without what can't be imported, with a warning."""
    try:
        yield
    except (Exception, SystemExit) as error:  # noqa: BLE001  (a module may raise anything)
        words = f"the extension {name} is left out: {type(error).__name__}: {error}"
        with contextlib.suppress(UserWarning):  # where warnings are errors
            warnings.warn_explicit(words, UserWarning, name, 1)


def _initial_modules() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Organisation, kind and name of each module that says what is added; of a directory's own, no name."""
    places = _places()
    seen: set[tuple[str, str, tuple[str, ...]]] = set()
    for kind in _KINDS:
        for place in places:
            for organisation in _listed(place):
                for file in _listed(os.path.join(place, organisation, kind)):  # noqa: PTH118
                    if fitting := _INIT.fullmatch(file):
                        own = () if fitting[1] == "__init__" else (fitting[1],)
                        if (row := (organisation, kind, own)) not in seen:
                            seen.add(row)
                            yield row


def _places() -> list[str]:
    """The directories that have organisations: those of `sys.path`, and where other finders know of any."""
    found = [os.path.join(it or ".", _TOP) for it in sys.path]  # noqa: PTH118  (pathlib is an import)
    with contextlib.suppress(Exception):  # there is none, or one that can't be imported
        found += importlib.import_module(_TOP).__path__
    return list(dict.fromkeys(found))


def _listed(place: str) -> list[str]:
    try:
        return sorted(os.listdir(place))  # noqa: PTH208
    except OSError:  # no directory
        return []


def decospecs() -> str:
    """The decorators that extension packages have for all steps, as `DEFAULT_DECOSPECS` or `TOGGLE_DECOSPECS`."""
    values = extensions().names["metaflow_config"]
    return str(values.get("DEFAULT_DECOSPECS") or " ".join(values.get(_TOGGLED, ())))


def register_cards() -> None:
    """Register the types of cards that extension packages have. Warns of what can't be imported."""
    from gitflowrun.cards.card_types import register_card_type

    for name in _card_modules():
        with _left_out(name):
            for card in getattr(importlib.import_module(name), "CARDS", ()):
                register_card_type(card)


def _card_modules() -> Iterator[str]:
    """The modules that may have types of cards."""
    seen: set[str] = set()
    for place in _places():
        for organisation in _listed(place):
            cards = os.path.join(place, organisation, "plugins", "cards")  # noqa: PTH118
            for package in ("", *_listed(cards)):
                for file in _listed(os.path.join(cards, package)):  # noqa: PTH118
                    fitting = _INIT.fullmatch(file)
                    if fitting is None:
                        continue
                    own = "" if fitting[1] == "__init__" else fitting[1]
                    parts = (_TOP, organisation, "plugins", "cards", package, own)
                    name = ".".join(filter(None, parts))
                    if name not in seen:
                        seen.add(name)
                        yield name


def _add(found: Extensions, organisation: str, kind: str, module: ModuleType) -> None:
    _promote(found, organisation, "" if kind == "toplevel" else f"{kind}.", module)
    if kind == "config":
        values, more = found.names["metaflow_config"], dict(_public(module))
        toggled = [*values.get(_TOGGLED, ()), *more.get(_TOGGLED, ())]
        values |= {**more, _TOGGLED: toggled} if toggled else more
    elif kind == "plugins":
        for name, place, make in _decorators(module):
            with _left_out(f"{module.__name__}: {name}"):
                found.names[""][name] = make(_decorator(name, _placed(place, module)))
    elif kind == "exceptions":
        found.names["exception"] |= dict(_public(module))
    else:
        for key in ("module_overrides", "toplevel"):  # each names a module beside it
            if beside := getattr(module, key, None):
                name = f"{_package(module)}.{beside}"
                with _left_out(name):
                    other = importlib.import_module(name)
                    _promote(found, organisation, "", other)
                    found.names[""] |= dict(_public(other)) if key == "toplevel" else {}


def _promote(found: Extensions, organisation: str, place: str, module: ModuleType) -> None:
    for name in getattr(module, _PROMOTED, ()):
        found.modules[f"{place}{name}"] = f"{_TOP}.{organisation}.{place}{name}"
    for name, value in vars(module).items():  # what it has imported of its own
        if isinstance(value, ModuleType) and value.__name__.startswith(f"{_TOP}.{organisation}."):
            found.modules.setdefault(f"{place}{name}", value.__name__)


def _public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if not name.startswith("__") and not isinstance(value, ModuleType):
            yield name, value


def _package(module: ModuleType) -> str:
    return (module.__spec__.parent if module.__spec__ else None) or module.__name__


def _placed(place: str, module: ModuleType) -> Any:
    """What a place names: `.module.Class`, relative to the package, or `.Class` of the module itself."""
    where, _, own = place.rpartition(".")
    if not where.strip("."):
        return getattr(module, own)
    return getattr(importlib.import_module(where, _package(module)), own)


def _decorator(name: str, cls: Any) -> Any:
    """The class of a decorator, which says the name that it is listed by, as in `--with` and in records."""
    if getattr(cls, "name", name) != name:
        msg = f"the decorator is listed as {name!r}, and its class {cls.__name__} is called {cls.name!r}"
        raise ValueError(msg)
    return cls


def _decorators(module: ModuleType) -> Iterator[tuple[str, str, Callable[[Any], Any]]]:
    from gitflowrun.decorators import make_flow_decorator, make_step_decorator

    kinds = (
        ("STEP_DECORATORS_DESC", make_step_decorator),
        ("FLOW_DECORATORS_DESC", make_flow_decorator),
    )
    for listed, make in kinds:
        for name, place in getattr(module, listed, ()):
            yield name, place, make
