"""Where an artifact lies, for values that refer to a repository: which one, while they are loaded or stored.

A client object that is kept as an artifact travels with its run to other clones, where its repository is the clone and
its run may have another number. A pickle that goes from process to process keeps both.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

loaded_from: ContextVar[str | None] = ContextVar("loaded_from", default=None)
"""The repository, `local@/path`, of the artifact that is being loaded; None outside of that."""
_is_stored: ContextVar[bool] = ContextVar("is_stored", default=False)


def is_stored() -> bool:
    """Whether what is being pickled becomes an artifact, so that nothing of this clone may be in it."""
    return _is_stored.get()


@contextmanager
def storing() -> Iterator[None]:
    """While it lasts, what is pickled becomes an artifact."""
    token = _is_stored.set(True)
    try:
        yield
    finally:
        _is_stored.reset(token)
