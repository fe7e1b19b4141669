"""Names of Metaflow's that need a cloud: they can be imported, derived from and named, and raise when they are used."""

from __future__ import annotations

from typing import Any, NoReturn

from gitflowrun.errors import MetaflowException


class _Unavailable(type):
    """The class of such names."""

    def __call__(cls, *_: Any, **__: Any) -> NoReturn:
        refuse(cls.__name__)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        refuse(f"{cls.__name__}.{name}")


def refuse(name: str) -> NoReturn:
    """Say that a name needs a cloud."""
    raise MetaflowException(
        f"{name} needs the services of a cloud, which gitflowrun has none of: runs are recorded in the git repository, "
        "and tasks are executed on this machine"
    )


def unavailable(name: str) -> Any:
    """What stands for a name: a class, of exceptions where it is called so."""
    if name.endswith(("Exception", "Error")):
        return type(name, (MetaflowException,), {})
    return _Unavailable(name, (), {})
