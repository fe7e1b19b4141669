"""`NBRunner`: runs of a flow whose class a cell of a notebook defines.

A run records its code, and a cell is no file. So the cells that define the class, and the classes that it derives
from, are written into a file `<Flow>_notebook.py` in the work tree, which the snapshot of each run takes; `cleanup`
removes it. The file has the same name each time: `git runs diff` shows what has changed in the cell.

Python keeps the source of each cell for its tracebacks (`linecache`); nothing of IPython is needed to find it.
"""

from __future__ import annotations

import ast
import fcntl
import linecache
import os
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import FlowError, UsageError
from gitflowrun.runner.metaflow_runner import Runner

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import CodeType

    from gitflowrun.client import Run
    from gitflowrun.runner.metaflow_runner import ExecutingRun

_MARK = "# Written by NBRunner from a cell of a notebook, and removed by it.\n"
_STARTERS = frozenset({"NBRunner", "NBDeployer", "get_ipython"})
_DEFINITIONS = (
    ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef,
)  # fmt: skip


class NBRunner:
    """Starts runs of a flow that a cell of this notebook defines, with all that it needs in the same cell.

        run = NBRunner(MyFlow).nbrun(alpha=3)

    Args:
        flow: The class.
        show_output: Whether the run log is shown in the notebook.
        profile: As `Runner` has it.
        env: As `Runner` has it.
        base_dir: The directory for the file, in the work tree of the repository; the current one when None.
        file_read_timeout: As `Runner` has it.
        **kwargs: As `Runner` has them.

    Raises:
        UsageError: the class is not of a notebook.
        FlowError: the source of its cell can't be found.
    """

    def __init__(
        self,
        flow: type,
        show_output: bool = True,
        profile: str | None = None,
        env: Mapping[str, str] | None = None,
        base_dir: str | os.PathLike[str] | None = None,
        file_read_timeout: float = 3600,
        **kwargs: Any,
    ) -> None:
        folder = Path(base_dir or Path.cwd()).absolute()
        self._file = _CellFile(folder, flow.__name__, source_of(flow))
        self.runner = Runner(
            self._file.path, show_output, profile, env, folder, file_read_timeout, **kwargs
        )

    def __enter__(self) -> NBRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup()

    def nbrun(self, **kwargs: Any) -> Run:
        """Run the flow to its end, clean up, and return the run. Raises as `Runner.run`."""
        try:
            return self.run(**kwargs).run
        finally:
            self.cleanup()

    def nbresume(self, **kwargs: Any) -> Run:
        """Resume a run of the flow to its end, clean up, and return the new run. Raises as `Runner.run`."""
        try:
            return self.resume(**kwargs).run
        finally:
            self.cleanup()

    def run(self, **kwargs: Any) -> ExecutingRun:
        """As `Runner.run`."""
        return self.runner.run(**kwargs)

    def resume(self, **kwargs: Any) -> ExecutingRun:
        """As `Runner.resume`."""
        return self.runner.resume(**kwargs)

    async def async_run(self, **kwargs: Any) -> ExecutingRun:
        """As `Runner.async_run`. Call `cleanup` when the run has ended."""
        return await self.runner.async_run(**kwargs)

    async def async_resume(self, **kwargs: Any) -> ExecutingRun:
        """As `Runner.async_resume`. Call `cleanup` when the run has ended."""
        return await self.runner.async_resume(**kwargs)

    def cleanup(self) -> None:
        """Remove the file of the cell, and the files of the output."""
        self.runner.cleanup()
        self._file.remove()


def source_of(flow: type) -> str:
    """The program that the cells of a flow make.

    Raises:
        UsageError: the class is defined in a file.
        FlowError: the source of a cell can't be found.
    """
    cells: dict[str, str] = {}
    for cls in reversed(flow.__mro__):
        if cls.__module__ != "__main__":
            continue
        name = _cell_of(cls)
        lines = linecache.getlines(name)
        if not lines:
            raise FlowError(
                f"the source of the cell that defines {cls.__name__} can't be found",
                hint="execute the cell again; or write the flow into a file, and use Runner",
            )
        cells[name] = "".join(lines)
    if _cell_of(flow) not in cells:
        raise UsageError(
            f"{flow.__name__} is not defined in a cell of this notebook",
            hint="use Runner with the file that defines it",
        )
    program = "\n".join(_definitions(cell) for cell in cells.values())
    return f'{_MARK}{program}\n\nif __name__ == "__main__":\n    {flow.__name__}()\n'


def _cell_of(cls: type) -> str:
    """The name under which Python knows the source of the cell that defines a class; empty when there is none."""
    if cls.__module__ != "__main__":
        return ""
    of_code = next((code.co_filename for code in _codes(cls)), None)
    if of_code is not None:
        return of_code
    # A class without functions does not say where it was: the newest cell that defines one of its name.
    for name in reversed(list(linecache.cache)):
        if not os.path.exists(name) and _defines(name, cls.__name__):  # noqa: PTH110
            return name
    return ""


def _defines(cell: str, name: str) -> bool:
    try:
        statements = ast.parse("".join(linecache.getlines(cell))).body
    except SyntaxError:
        return False
    return any(isinstance(it, ast.ClassDef) and it.name == name for it in statements)


def _codes(cls: type) -> Iterable[CodeType]:
    for member in vars(cls).values():
        function = getattr(member, "__wrapped__", member)
        code = getattr(function, "__code__", None)
        if code is not None and getattr(function, "__module__", None) == cls.__module__:
            yield code


def _definitions(cell: str) -> str:
    """A cell without the statements that are for the notebook: commands of IPython, and what starts the flow.

    From the first statement that starts the flow, only definitions are kept: the others look at the run.
    Lines stay where they are.
    """
    lines = cell.split("\n")  # as Python counts them: there are other ends of lines in texts
    has_started = False
    for statement in ast.parse(cell).body:
        names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        is_definition = isinstance(statement, _DEFINITIONS)
        starts = not is_definition and not _STARTERS.isdisjoint(names)
        has_started = has_started or (starts and "get_ipython" not in names)
        if starts or (has_started and not is_definition):
            first, last = statement.lineno - 1, statement.end_lineno or statement.lineno
            lines[first:last] = [""] * (last - first)
    return "\n".join(lines)


class _CellFile:
    """The file of a cell. A lock on it says that somebody uses it; without one it is what a crash has left."""

    def __init__(self, folder: Path, flow: str, source: str) -> None:
        number = 1
        while True:
            self.path = folder / f"{flow}_notebook{'' if number == 1 else f'_{number}'}.py"
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if not _take(fd):
                number += 1
            elif _is_at(self.path, fd):
                break
            os.close(fd)  # of another one's, or of one that was removed between the two calls
        os.ftruncate(fd, 0)
        with open(fd, "wb", closefd=False) as file:
            file.write(source.encode())
        self._remove = weakref.finalize(self, _remove, self.path, fd, os.getpid())

    def remove(self) -> None:
        """Remove it."""
        self._remove()


def _take(fd: int) -> bool:
    """Whether a file is free to be written: it is new, or of ours and used by nobody."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    start = os.pread(fd, len(_MARK), 0)
    return start in {b"", _MARK.encode()}


def _is_at(path: Path, fd: int) -> bool:
    """Whether a file that was opened is still the one at a path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _remove(path: Path, fd: int, maker: int) -> None:
    if os.getpid() == maker:  # and no fork of it
        path.unlink(missing_ok=True)
        os.close(fd)
