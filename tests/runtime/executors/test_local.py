"""Executors of this machine: what happens when a process can't be made."""

from __future__ import annotations

from gitflowrun.runtime.executors.local import FreshExecutor
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.messages import (
    Launch,
    LaunchFailed,
    Message,
    RunContext,
)
from gitflowrun.runtime.ipc.task_pipes import TaskPipes


def test_an_interpreter_that_cannot_be_started_is_reported() -> None:
    """A command that is not there is a launch that was not made."""
    loop = EventLoop()
    messages: list[Message] = []
    context = RunContext(*[None] * 18)  # type: ignore[arg-type]
    executor = FreshExecutor(loop, ("/nowhere/python", "f.py"), messages.append, context)
    output = TaskPipes(loop)
    executor.launch(Launch(1, None, 0, (), ()), output)  # type: ignore[arg-type]
    loop.turn()
    output.close()
    assert isinstance(messages[0], LaunchFailed)
    assert "No such file" in messages[0].reason
    executor.close()
    loop.close()
