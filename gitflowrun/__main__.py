"""`python -m gitflowrun FLOW.py ...`: a flow file of Metaflow, unmodified."""

from __future__ import annotations

import os
import sys
from types import ModuleType


def main() -> None:
    """Execute the file that the command line names, as `python FILE` would, with this package in Metaflow's place."""
    from gitflowrun.compat import install

    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):  # noqa: PLR2004
        print("usage: python -m gitflowrun FLOW.py [ARGS]...", file=sys.stderr)  # noqa: T201
        raise SystemExit(2)
    install()
    del sys.argv[0]
    path = sys.argv[0]
    program = ModuleType("__main__")
    program.__file__ = os.path.abspath(path)  # noqa: PTH100  (pathlib is an import)
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            code = compile(file.read(), program.__file__, "exec", dont_inherit=True)
    except OSError as error:
        print(f"error: {path}: {error.strerror}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    sys.path[0] = os.path.dirname(os.path.realpath(path))  # noqa: PTH120
    sys.modules["__main__"] = program
    exec(code, vars(program))  # noqa: S102  (as Python itself does)


if __name__ == "__main__":
    main()
