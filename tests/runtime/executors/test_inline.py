"""The inline executor, without the processes around it."""

from __future__ import annotations

import os
import signal
from typing import Any

from gitflowrun.names import TaskName
from gitflowrun.runtime.executors import inline
from gitflowrun.runtime.ipc.messages import Exited, Launch, Started


class _Interrupted:
    """A handler that has passed an interrupt on."""

    has_forwarded = True

    def __call__(self, *_: object) -> None:
        """Nothing more."""


class _Channel(list[Any]):
    """Keeps what is sent."""

    send = list.append


def test_an_interrupt_before_the_step_ends_it() -> None:
    """The scheduler knows of the interrupt already, and a step that began now would never hear of it."""
    handler = _Interrupted()
    before = signal.signal(signal.SIGINT, handler)
    try:
        sent, out, err = (
            _Channel(),
            os.open(os.devnull, os.O_WRONLY),
            os.open(os.devnull, os.O_WRONLY),
        )
        inline._run(None, sent, Launch(3, TaskName("start", "1"), 0, (), ()), (out, err))  # type: ignore[arg-type]
        assert [type(message) for message in sent] == [Started, Exited]
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
