"""`python -m gitflowrun.cmd.diff RUN RUN`: the differences between two runs, in parameters and code.

The exit code is that of `git diff`: 0 whether or not anything differs, so that a script with `set -e` goes on;
with `--exit-code` it is 1 when something does. 128: a run is not there; 129: the command line is wrong. The output
applies with `git apply`, which skips the lines about parameters.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from io import TextIOWrapper
from typing import TYPE_CHECKING, NoReturn, TextIO

from gitflowrun.cli.errors import DIFFERS, GIT, exit_code_of
from gitflowrun.cli.output.terminal import open_screen
from gitflowrun.cli.output.text import printable
from gitflowrun.errors import UsageError
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.compare import FORMATS, code_diff, compare_parameters
from gitflowrun.runs.runs import RunStore

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from gitflowrun.cli.output.terminal import Style
    from gitflowrun.porcelain.compare import CodeDiff, Difference
    from gitflowrun.runs.read import StoredRun

__all__ = ["main"]

_PROGRAM = "python -m gitflowrun.cmd.diff"


def main(args: Sequence[str] | None = None) -> int:
    """Show what differs between two runs and return the exit code."""
    words = list(sys.argv[1:] if args is None else args)
    return exit_code_of(lambda: _diff(_parser().parse_intermixed_args(words)), GIT)


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see {_PROGRAM} --help")


def _parser() -> ArgumentParser:
    parser = _Parser(
        prog=_PROGRAM,
        description="Show what differs between two runs, in parameters and code.",
        epilog="A run is named as for `git runs`: 12, MyFlow/12, @latest, a tag.",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", metavar="RUN", help="the run before")
    parser.add_argument("new", metavar="RUN", help="the run after")
    parser.add_argument("paths", metavar="PATH", nargs="*", help="only these files of the code")
    parser.add_argument(
        "-U", dest="context", type=_lines, metavar="N", help="lines around a change"
    )
    parser.add_argument("--exit-code", action="store_true", help="exit with 1 if anything differs")
    forms = parser.add_mutually_exclusive_group()
    for form in FORMATS:
        forms.add_argument(
            f"--{form}", dest="form", action="store_const", const=form, default="patch",
            help="as in git-diff(1)",
        )  # fmt: skip
    return parser


def _lines(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a number of lines")
    return int(text)


def _diff(options: Namespace) -> int:
    repo = Repository.discover()
    runs = RunStore(repo)
    old, new = runs.find(options.old), runs.find(options.new)
    parameters = compare_parameters(old, new)
    with open_screen(repo, page=True) as screen:
        code = code_diff(
            repo, old.code_tree, new.code_tree, paths=[_from_top(repo, path) for path in options.paths],
            form=options.form, colour=screen.style.colour, context=options.context,
        )  # fmt: skip
        for line in _parameter_lines(old, new, parameters, screen.style):
            screen.line(line)
        _write(code, screen.out)
    return DIFFERS if options.exit_code and (parameters or code.differs) else 0


def _parameter_lines(
    old: StoredRun, new: StoredRun, parameters: Sequence[Difference], style: Style
) -> Iterator[str]:
    if parameters:
        yield style.bold(f"parameters {old.pathspec}..{new.pathspec}")
    for item in parameters:
        if item.old is not None:
            yield style.red(printable(f"-{item.name}: {item.old}"))
        if item.new is not None:
            yield style.green(printable(f"+{item.name}: {item.new}"))


def _write(code: CodeDiff, out: TextIO) -> None:
    # A diff has the encodings of the files in it: git's bytes go out as they are.
    if isinstance(out, TextIOWrapper):
        out.flush()
        out.buffer.write(code.text)
    else:
        out.write(code.text.decode(errors="replace"))


def _from_top(repo: Repository, path: str) -> str:
    """A path as the user types it, which is from where they are, as git's trees know it."""
    if repo.work_tree is None or path.startswith(":"):  # git's pathspec magic
        return path
    here = os.path.realpath(os.getcwd())  # noqa: PTH109  (links in `path` itself must stay)
    return os.path.relpath(os.path.join(here, path), repo.work_tree)  # noqa: PTH118


if __name__ == "__main__":
    sys.exit(main())
