"""`python -m gitflowrun FLOW.py ...`: a flow file of Metaflow, unmodified."""

from __future__ import annotations

import builtins
import os
import sys
from importlib.machinery import SourceFileLoader
from types import CodeType, ModuleType
from typing import NoReturn

USAGE = "usage: python -m gitflowrun FLOW.py [ARGS]..."


def main() -> None:
    """Execute the file that the command line names, as `python FILE` would, with this package in Metaflow's place."""
    from gitflowrun.compat import install

    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(USAGE)  # noqa: T201
        return
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):  # noqa: PLR2004
        _fail(USAGE)
    for name in [it for it in sys.modules if it.partition(".")[0] == "metaflow"]:
        del sys.modules[name]  # by a module that Python imports at its start: nothing has used it
    install()
    del sys.argv[0]
    path = sys.argv[0]
    program = ModuleType("__main__")
    file = os.path.abspath(path)  # noqa: PTH100  (pathlib is an import)
    loader = SourceFileLoader("__main__", file)
    vars(program).update(__file__=file, __builtins__=builtins, __loader__=loader, __cached__=None)
    try:
        with open(path, "rb") as opened:  # noqa: PTH123
            source = opened.read()
    except OSError as error:
        _fail(f"error: {path}: {error.strerror}")
    if not getattr(sys.flags, "safe_path", False):  # of Python 3.11: `-P`
        sys.path[0] = os.path.dirname(os.path.realpath(path))  # noqa: PTH120
    sys.modules["__main__"] = program
    try:
        code: CodeType = compile(source, file, "exec", dont_inherit=True)
        exec(code, vars(program))  # noqa: S102  (as Python itself does)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  (told as Python tells it, without what is above it here)
        _tell(error, file)
        raise SystemExit(1) from None


def _tell(error: BaseException, file: str) -> None:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != file:
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)


def _fail(words: str) -> NoReturn:
    print(words, file=sys.stderr)  # noqa: T201
    raise SystemExit(2)


if __name__ == "__main__":
    main()
