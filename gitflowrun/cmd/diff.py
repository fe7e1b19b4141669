"""`python -m gitflowrun.cmd.diff RUN RUN`: the differences between two runs, in parameters and code.

The exit code is that of `git diff`: 0 whether or not anything differs, so that a script with `set -e` goes on;
with `--exit-code` it is 1 when something does. 128: a run is not there; 129: the command line is wrong. The output
applies with `git apply`, which skips the lines about parameters; on a terminal it is without the contents of
binary files.

With `--json` it is one document instead:

    {"old": "MyFlow/1", "new": "MyFlow/2",                     the runs
     "parameters": [{"name": ..., "old": ..., "new": ...}],    a side is null where it has no such parameter
     "changes": {"name": ["in what they differ", ...]},        of those of which there is more to say
     "equal": [...],                                           names of those equal, though pickled differently
     "code": {"old": ..., "new": ...,                          ids of the trees
              "insertions": ..., "deletions": ...,             lines, of all files
              "files": [...]}}                                 as `gitflowrun.git.diff.FileDiff` describes them
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO

import click

from gitflowrun.cli.errors import DIFFERS, GIT, invoke
from gitflowrun.cli.output.tables import as_json
from gitflowrun.cli.output.terminal import PLAIN, open_screen
from gitflowrun.cli.output.text import printable
from gitflowrun.git.diff import diff_trees
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.compare import (
    FORMATS,
    code_diff,
    compare_parameters,
    said_of_parameters,
)
from gitflowrun.runs.runs import RunStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gitflowrun.cli.output.terminal import Style
    from gitflowrun.porcelain.compare import Difference, Said

_JSON = "json"
_PROGRAM = "python -m gitflowrun.cmd.diff"


def main(args: Sequence[str] | None = None) -> int:
    """Show what differs between two runs and return the exit code."""
    return invoke(_diff, sys.argv[1:] if args is None else args, _PROGRAM, GIT)


def _forms(command: Callable[..., Any]) -> Callable[..., Any]:
    for form in FORMATS:
        option = click.option(f"--{form}", "form", flag_value=form, help="As in git-diff(1).")
        command = option(command)
    return click.option("--json", "form", flag_value=_JSON, help="Print one JSON document.")(
        command
    )


@click.command(epilog="A run is named as for `git runs`: 12, MyFlow/12, @latest, a tag.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if anything differs.")
@click.option(
    "-U", "context", type=click.IntRange(min=0), metavar="N", help="Lines around a change."
)
@_forms
@click.argument("old", metavar="RUN")
@click.argument("new", metavar="RUN")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
def _diff(
    exit_code: bool,
    context: int | None,
    form: str | None,
    old: str,
    new: str,
    paths: tuple[str, ...],
) -> int:
    """Show what differs between two runs, in parameters and code; of the code only PATHs if any are given."""
    repo = Repository.discover()
    before, after = (RunStore(repo).find(run) for run in (old, new))
    parameters = compare_parameters(before, after)
    said = said_of_parameters(repo, before, after, parameters)
    trees, places = (before.code_tree, after.code_tree), [_from_top(repo, path) for path in paths]
    with open_screen(repo, page=True) as screen:
        if form == _JSON:
            code = diff_trees(repo, *trees, paths=places, context=3 if context is None else context)
            names = {"old": before.pathspec, "new": after.pathspec}
            texts = {"parameters": parameters, "changes": said.lines, "equal": said.equal}
            screen.line(as_json({**names, **texts, "code": code}))
            differs = bool(code.files)
        else:
            form = form or ("patch" if screen.person else "binary")
            # What goes to `git apply` has no colours, not even where git is told to have them always.
            style = PLAIN if form == "binary" else screen.style
            text = code_diff(
                repo, *trees, paths=places, form=form, colour=style.colour, context=context
            )
            heading = f"parameters {before.pathspec}..{after.pathspec}"
            lines = _parameter_lines(heading, parameters, said, style)
            screen.out.write("".join(f"{line}\n" for line in lines))
            _write(text, screen.out)
            differs = bool(text)
    differs = differs or any(row.name not in said.equal for row in parameters)
    return DIFFERS if exit_code and differs else 0


def _parameter_lines(
    heading: str, parameters: Sequence[Difference[str]], said: Said, style: Style
) -> Iterator[str]:
    if parameters:
        yield style.bold(heading)
    for item in parameters:
        if item.old is not None:
            yield style.red(printable(f"-{item.name}: {item.old}"))
        if item.new is not None:
            yield style.green(printable(f"+{item.name}: {item.new}"))
        # A line that begins with a sign, or `@@`, could be taken for one of the patch.
        yield from (printable(f" {item.name}: {line}") for line in said.lines.get(item.name, ()))


def _write(code: bytes, out: TextIO) -> None:
    # A diff has the encodings of the files in it: git's bytes go out as they are.
    if isinstance(out, TextIOWrapper):
        out.flush()
        out.buffer.write(code)
    else:
        out.write(code.decode(errors="replace"))


def _from_top(repo: Repository, path: str) -> str:
    """A path as the user types it, which is from where they are, as git's trees know it."""
    if repo.work_tree is None or path.startswith(":"):  # git's pathspec magic
        return path
    here = os.path.realpath(os.getcwd())  # noqa: PTH109  (links in `path` itself must stay)
    return os.path.relpath(os.path.join(here, path), repo.work_tree)  # noqa: PTH118


if __name__ == "__main__":
    sys.exit(main())
