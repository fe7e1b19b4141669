"""Metaflow's modules `debug`, `tracing` and `sidecar`, as they are where nobody has switched them on."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class Debug:
    """What `debug.<subject>` and `debug.<subject>_exec(...)` are asked of: nothing is printed."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.noop if name.endswith("_exec") else False

    def noop(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    log = noop


class MessageTypes:
    """Kinds of messages to a sidecar."""

    INVALID = 1
    MUST_SEND = 2
    BEST_EFFORT = 3
    SHUTDOWN = 4


debug = Debug()


@contextlib.contextmanager
def traced(_name: str, _attrs: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Note nothing about what is done within."""
    yield


@contextlib.contextmanager
def post_fork() -> Iterator[None]:
    """As `traced`, in a forked process."""
    yield


def tracing(func: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself."""
    return func


def init_tracing() -> None:
    """Do nothing."""


def get_trace_id() -> str:
    """No trace's."""
    return ""


def inject_tracing_vars(env_dict: dict[str, str]) -> dict[str, str]:
    """The variables as they are."""
    return env_dict
