"""Names of Metaflow's that are not here: they can be imported, derived from and caught, and raise when used."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from gitflowrun import entry_point
from gitflowrun.errors import FlowError, MetaflowException
from gitflowrun.flow.current import current

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_CLOUD = (
    "needs the services of a cloud, which gitflowrun has none of: runs are recorded in the git repository, and tasks "
    "are executed on this machine"
)
_NO_CARDS = (
    "is of Metaflow's store of cards, which gitflowrun has none of: cards lie in the run's tree, and "
    "metaflow.cards.get_cards finds them"
)


class UnavailableName(FlowError, AttributeError):
    """A name of Metaflow's was used that is not here."""

    headline = "Not available"


_OF_CLOUDS = (
    "plugins.airflow", "plugins.argo", "plugins.aws", "plugins.azure", "plugins.datatools.s3", "plugins.gcp",
    "plugins.kubernetes", "plugins.metadata_providers.service", "integrations",
)  # fmt: skip
_CLOUDS_NAMES = ("airflow_", "argo_", "step_functions_")


def _is_of_clouds(module: str, name: str) -> bool:
    """Whether a name of Metaflow's that is defined in a module of it is of what needs a cloud."""
    return (not module and name.startswith(_CLOUDS_NAMES)) or f"{module}.".startswith(
        tuple(f"{it}." for it in _OF_CLOUDS)
    )


def _why(name: str, module: str) -> str:
    """Why a name that a module of Metaflow defines is not here."""
    if _is_of_clouds(module, name.partition(".")[0]):
        return f"{name} {_NO_CLOUD}"
    if module.startswith("plugins.cards"):
        return f"{name} {_NO_CARDS}"
    where = ".".join(filter(None, ("metaflow", module)))
    return f"gitflowrun has no {name} of {where}: it is of Metaflow's own machinery, which is another one here"


def _located(error: UnavailableName) -> UnavailableName:
    """The error with the program's line where no step is executed, which has a traceback; uncaught, it has none."""
    frame = None if current.is_running_flow else sys._getframe()  # noqa: SLF001  (as `user_line`)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("gitflowrun."):
        frame = frame.f_back
    if frame is not None:
        error.source, error.line = frame.f_code.co_filename, frame.f_lineno
    entry_point.explain_uncaught()
    return error


class _Unavailable(type):
    """The class of such names; whatever is asked of one but its own name is refused."""

    of: str

    def __call__(cls, *args: Any, **options: Any) -> Any:
        # A function applied as a decorator while a module is imported: what it is applied to refuses instead.
        if cls.__name__[:1].islower() and len(args) == 1 and not options and callable(args[0]):
            return cls._applied(args[0])
        return cls._refuse()

    def _applied(cls, to: Any) -> Any:
        if isinstance(to, type):
            return type(to)(
                to.__name__, (to,), {"__init__": cls._refuse, "__module__": to.__module__}
            )
        refuse: Callable[..., Any] = functools.wraps(to)(lambda *_, **__: cls._refuse())
        return refuse

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise _located(UnavailableName(_why(f"{cls.__name__}.{name}", cls.of)))

    def _refuse(cls, *_: Any, **__: Any) -> NoReturn:
        raise _located(UnavailableName(_why(cls.__name__, cls.of)))

    __iter__ = __len__ = __getitem__ = __contains__ = __enter__ = __exit__ = _refuse


@functools.cache
def unavailable(name: str, module: str) -> Any:
    """What stands for a name that a module of Metaflow defines: one class, also for `except`.

    Args:
        name: The name.
        module: The module that defines it, below `metaflow`.
    """
    if name.endswith(("Exception", "Error")):
        return type(name, (MetaflowException,), {})
    return _Unavailable(name, (MetaflowException,), {"of": module})
