"""Names of Metaflow's that are not here: they can be imported, derived from and caught, and raise when used."""

from __future__ import annotations

import functools
from typing import Any, NoReturn

from gitflowrun.errors import MetaflowException

_NO_CLOUD = (
    "needs the services of a cloud, which gitflowrun has none of: runs are recorded in the git repository, and tasks "
    "are executed on this machine"
)
_NO_CARDS = (
    "is of Metaflow's store of cards, which gitflowrun has none of: cards lie in the run's tree, and "
    "metaflow.cards.get_cards finds them"
)


class UnavailableName(MetaflowException, AttributeError):
    """A name of Metaflow's was used that is not here."""

    headline = "Not available"


def refuse(name: str) -> NoReturn:
    """Say of a name why it is not here."""
    raise UnavailableName(f"{name} {_NO_CARDS if 'card' in name.lower() else _NO_CLOUD}")


class _Unavailable(type):
    """The class of such names; whatever is asked of one but its own name is refused."""

    def __call__(cls, *_: Any, **__: Any) -> NoReturn:
        refuse(cls.__name__)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        refuse(f"{cls.__name__}.{name}")

    def _refuse(cls, *_: Any) -> NoReturn:
        refuse(cls.__name__)

    __iter__ = __len__ = __getitem__ = __contains__ = __enter__ = __exit__ = _refuse


@functools.cache
def unavailable(name: str) -> Any:
    """What stands for a name: one class, which programs may name in `except` as well."""
    if name.endswith(("Exception", "Error")):
        return type(name, (MetaflowException,), {})
    return _Unavailable(name, (MetaflowException,), {})
