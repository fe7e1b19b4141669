"""Makes the executor of a run that an engine executes: the engine, the links to its agents, and what they are told."""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from gitflowrun._version import __version__
from gitflowrun.artifacts.digest import digest
from gitflowrun.errors import GitflowrunError
from gitflowrun.runs import layout
from gitflowrun.runtime.executors.batch import batched_steps
from gitflowrun.runtime.executors.engine_executor import EngineExecutor
from gitflowrun.runtime.executors.engines.engine_choice import engine_of
from gitflowrun.runtime.ipc.addresses import is_loopback
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.events import Notice
from gitflowrun.runtime.ipc.link_server import LinkServer
from gitflowrun.runtime.ipc.remote_messages import PROTOCOL, AgentStart
from gitflowrun.runtime.ipc.thread_calls import ThreadCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository
    from gitflowrun.runtime.ipc.events import Listener
    from gitflowrun.runtime.ipc.link import Link
    from gitflowrun.runtime.ipc.messages import Message, RunContext, StartRun
    from gitflowrun.runtime.ipc.remote_messages import RemoteMessage
    from gitflowrun.settings import Isolation

_OURS = ("METAFLOW_", "GITFLOWRUN_")
_OF_THIS_MACHINE = frozenset({
    "GITFLOWRUN_EXECUTOR", "GITFLOWRUN_ISOLATION", "GITFLOWRUN_METADATA", "GITFLOWRUN_NAMESPACE", "GITFLOWRUN_RUN",
    "METAFLOW_RUN_ID", "METAFLOW_TEMPDIR",
})  # fmt: skip


class StartedEngine:
    """An engine and the server for its agents, which are there before the run is: what can't be done is known then.

    Args:
        words: Which engine, as `--executor` says it.
        start: What the launcher process said of the run.
        repo: The repository.
        packages: The packages of the run, and their versions.

    Attributes:
        loop: The event loop of the run.

    Raises:
        UsageError: there is no such engine, or `runs.executorAddress` is none.
        ExecutorError: it is not installed or does not answer, or agents can't be listened for.
    """

    def __init__(
        self, words: str, start: StartRun, repo: Repository, packages: Mapping[str, str]
    ) -> None:
        self.loop = EventLoop()
        self._start = start
        self._repo = repo
        self._packages = packages
        self._calls = ThreadCalls(self.loop)
        self._executor: EngineExecutor | None = None
        slots = start.request.max_workers
        self._engine = engine_of(words, self._ended, slots=slots, path=start.path)
        self._mark: Path | None = None
        self._is_closed = False
        try:
            self._server = self._listen()
        except GitflowrunError:
            self._engine.close()
            self._calls.close()
            raise

    def _listen(self) -> LinkServer:
        """Listen for agents: where the setting says, on this machine alone for an engine of it, or everywhere."""
        host, likely = self._repo.settings.executor_address, self._engine.host
        if host is None and likely is not None and is_loopback(likely):
            host = likely
        return LinkServer(self.loop, self._connected, host, likely=likely)

    def _ended(self, number: int, error: str | None) -> None:
        """Take the end of an agent's call, from whatever thread."""
        self._calls.ask(lambda: self._agent_ended(number, error))

    def _agent_ended(self, number: int, error: str | None) -> None:
        if self._executor is not None:
            self._executor.ended(number, error)

    def executor(
        self,
        run: RunContext,
        code: Oid,
        isolation: Isolation,
        on_message: Callable[[Message | RemoteMessage], None],
        notify: Listener,
        most: int,
    ) -> EngineExecutor:
        """Make the executor of a run.

        Args:
            run: What all tasks have in common.
            code: The tree of the run's snapshot.
            isolation: How tasks get their processes on workers.
            on_message: Called with every message about a task.
            notify: Called with what the user is to be told.
            most: How many tasks may run at the same time.
        """
        state = Path(run.incoming).parent
        self._mark = state / f"driver-{secrets.token_hex(8)}"
        content = secrets.token_hex(16)
        with contextlib.suppress(OSError):  # then no agent finds it
            self._mark.write_text(content)
        self._executor = EngineExecutor(
            self.loop, self._repo, self._engine, self._server,
            self._told(run, code, isolation, (str(self._mark), content)),
            on_message, notify,
            layout.live_directory(state, run.run.uid),
            self._start.resources,
            most,
        )  # fmt: skip
        notify(Notice(f"Tasks are executed by {self._engine.name}: {self._engine.where()}."))
        return self._executor

    def _told(
        self, run: RunContext, code: Oid, isolation: Isolation, shared: tuple[str, str]
    ) -> AgentStart:
        """What each agent is told first."""
        start, repo = self._start, self._repo
        below = [_below(path, repo.work_tree) for path in start.path]
        return AgentStart(
            protocol=PROTOCOL,
            version=__version__,
            run=run,
            code=code,
            command=start.command,
            directory=_below(start.directory, repo.work_tree),
            path=tuple(path for path in below if path),
            environ=_variables(os.environ, repo.settings.env, start.hash_seed),
            isolation=isolation.value,
            slots=1,
            packages=self._packages,
            other_packages=repo.settings.executor_packages,
            repository=digest(f"{platform.node()}:{repo.git_dir}".encode()).hex()[:32],
            shared=shared if repo.settings.executor_shared_disk else (),
            batched=() if run.cache else tuple(sorted(batched_steps(start.graph, isolation))),
        )

    def _connected(self, number: int, link: Link) -> None:
        if self._executor is not None:
            self._executor.connected(number, link)

    def close(self) -> None:
        """Let go of the engine, and remove what agents were told of a shared disk; harmless the second time."""
        if not self._is_closed:
            self._is_closed = True
            self._server.close()
            self._engine.close()
            self._calls.close()
            if self._mark is not None:
                self._mark.unlink(missing_ok=True)


def _below(path: str | None, top: Path | None) -> str:
    """A path relative to the top of the work tree; empty where it is the top, or not below it."""
    if not path or top is None:
        return ""
    with contextlib.suppress(ValueError):
        relative = str(PurePath(os.path.realpath(path)).relative_to(os.path.realpath(top)))
        return "" if relative == "." else relative
    return ""


def _variables(environ: Mapping[str, str], more: tuple[str, ...], hash_seed: str) -> dict[str, str]:
    """What the flow's program finds in its environment on a worker: our variables, and those that `runs.env` names."""
    found = {
        name: value
        for name, value in environ.items()
        if (name.startswith(_OURS) or name in more) and name not in _OF_THIS_MACHINE
    }
    return {**found, "PYTHONHASHSEED": hash_seed}
