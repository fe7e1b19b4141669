"""`subprocess.Popen` whose programs of Python begin by fork of a warm one, where that means the same."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.helpers.warm_python import begin_warm, suits

__all__ = ["WarmPopen"]


class WarmPopen(subprocess.Popen[Any]):
    """A process that is no child of this one, nor of its group; where more is asked for than that allows, as others."""

    _tells = -1
    """Where its end is told; below 0 where it is a process as others are."""
    _ended = b""
    """Its exit code, where that was told with its number."""

    def _execute_child(
        self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Any, cwd: Any, env: Any, *rest: Any
    ) -> None:  # fmt: skip
        words = [args] if isinstance(args, str | bytes) else [*map(os.fspath, args)]
        given = dict(os.environ if env is None else env)
        if executable is not None or preexec_fn is not None or not _is_program(words, given):
            super()._execute_child(  # type: ignore[misc]
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest
            )
            return
        pipes, is_leader = rest[3:9], rest[14]
        read_in, _, _, write_out, _, write_err = pipes
        place = str(Path.cwd()) if cwd is None else os.fspath(cwd)
        streams = tuple(
            fd if fd >= 0 else number for number, fd in enumerate((read_in, write_out, write_err))
        )
        self._tells, told = os.pipe()
        try:
            begin_warm(
                words[1:], place, given, streams, told, tuple(pass_fds), is_leader=is_leader  # type: ignore[arg-type]
            )  # fmt: skip
        finally:
            os.close(told)
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]
        # A program that has ended by now has said both.
        pid, _, self._ended = os.read(self._tells, 40).partition(b" ")
        self.pid = int(pid)
        self._child_created = True

    def _internal_poll(self, *given: Any, **named: Any) -> int | None:
        if self._tells < 0:
            code: int | None = super()._internal_poll(*given, **named)  # type: ignore[misc]
            return code
        with self._waitpid_lock:  # type: ignore[attr-defined]
            self._try_wait(os.WNOHANG)
        return self.returncode

    def _try_wait(self, flags: int) -> tuple[int, int]:
        if self._tells < 0:
            ended: tuple[int, int] = super()._try_wait(flags)  # type: ignore[misc]
            return ended
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._tells, selectors.EVENT_READ)
                wait = 0 if flags & os.WNOHANG else None
                if not self._ended and not selector.select(wait):
                    return 0, 0
            self.returncode = int(self._ended or os.read(self._tells, 20) or -signal.SIGKILL)
            os.close(self._tells)
        return self.pid, 0

    def _handle_exitstatus(self, *given: Any, **named: Any) -> None:
        if self._tells < 0:
            super()._handle_exitstatus(*given, **named)  # type: ignore[misc]


def _is_program(words: list[Any], env: dict[str, str]) -> bool:
    """Whether it is a script, a module or a text for this Python, without options of Python."""
    return (
        len(words) > 1
        and words[0] == sys.executable
        and (not words[1].startswith("-") or words[1] in {"-c", "-m"})
        and suits(env)
    )
