"""`python -m gitflowrun.cmd.diff RUN RUN`: the differences between two runs, in parameters and code.

The exit code is that of `git diff`: 0 whether or not anything differs, so that a script with `set -e` goes on;
with `--exit-code` it is 1 when something does. 128: a run is not there; 129: the command line is wrong. The output
applies with `git apply`, which skips the lines about parameters and files left out; on a terminal it is without the
contents of binary files. What may have changed unrecorded is named on standard error.

With `--json` it is one document instead:

    {"old": "MyFlow/1", "new": "MyFlow/2",                     the runs
     "parameters": [{"name": ..., "old": ..., "new": ...}],    a side is null where it has no such parameter
     "changes": {"name": ["in what they differ", ...]},        of those of which there is more to say
     "equal": [...],                                           names of those equal, though pickled differently
     "left_out": [{"name": ..., "old": ..., "new": ...}],      what the snapshots do not hold, known to differ
     "unknown": [...],                                         what they do not hold, of which that is not known
     "code": {"old": ..., "new": ...,                          ids of the trees
              "insertions": ..., "deletions": ...,             lines, of all files
              "files": [...]}}                                 as `gitflowrun.git.diff.FileDiff` describes them
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO

import click

from gitflowrun.cli.errors import DIFFERS, GIT, invoke
from gitflowrun.cli.git_runs.look.show import some_files
from gitflowrun.cli.output.tables import as_json
from gitflowrun.cli.output.terminal import PLAIN, open_screen
from gitflowrun.cli.output.text import printable, terminal_safe
from gitflowrun.cli.typed_paths import from_top
from gitflowrun.git.diff import diff_trees
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.comparison.compare import (
    FORMATS,
    code_diff,
    compare_left_out,
    compare_parameters,
    said_of_parameters,
)
from gitflowrun.runs.runs import RunStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gitflowrun.cli.output.terminal import Style
    from gitflowrun.porcelain.comparison.compare import Difference

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
    trees, places = (before.code_tree, after.code_tree), [from_top(repo, path) for path in paths]
    rows, alike = compare_left_out(before, after)
    left_out = [row for row in rows if _is_below(row.name, places)]
    unknown = [name for name in alike if _is_below(name, places)]
    with open_screen(repo, page=True) as screen:
        if form == _JSON:
            code = diff_trees(repo, *trees, paths=places, context=3 if context is None else context)
            names = {"old": before.pathspec, "new": after.pathspec}
            texts = {"parameters": parameters, "changes": said.lines, "equal": said.equal}
            missing = {"left_out": left_out, "unknown": unknown}
            screen.line(as_json({**names, **texts, **missing, "code": code}))
            differs = bool(code.files)
        else:
            form = form or ("patch" if screen.person else "binary")
            # What goes to `git apply` has no colours, not even where git is told to have them always.
            style = PLAIN if form == "binary" else screen.style
            text = code_diff(
                repo, *trees, paths=places, form=form, colour=style.colour, context=context
            )
            if screen.person and form != "binary":
                text = b"\n".join(_harmless(line) for line in text.split(b"\n"))
            both = f"{before.pathspec}..{after.pathspec}"
            lines = [
                *_lines(f"parameters {both}", parameters, said.lines, style),
                *_lines(f"left out {both}", left_out, {}, style),
            ]
            screen.out.write("".join(f"{line}\n" for line in lines))
            _write(text, screen.out)
            differs = bool(text)
    if unknown and form != _JSON:
        listed = some_files(unknown, len(unknown))
        sys.stderr.write(
            f"warning: perhaps changed, for their contents are not recorded: {listed}\n"
        )
    differs = differs or bool(left_out) or any(row.name not in said.equal for row in parameters)
    return DIFFERS if exit_code and differs else 0


def _lines(
    heading: str,
    rows: Sequence[Difference[str]],
    said: Mapping[str, Sequence[str]],
    style: Style,
) -> Iterator[str]:
    if rows:
        yield style.bold(heading)
    for item in rows:
        if item.old is not None:
            yield style.red(printable(f"-{item.name}: {item.old}"))
        if item.new is not None:
            yield style.green(printable(f"+{item.name}: {item.new}"))
        # A line that begins with a sign, or `@@`, could be taken for one of the patch.
        yield from (printable(f" {item.name}: {line}") for line in said.get(item.name, ()))


def _harmless(line: bytes) -> bytes:
    """A line of somebody's file, as a terminal may have it."""
    return terminal_safe(line.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def _write(code: bytes, out: TextIO) -> None:
    # A diff has the encodings of the files in it: git's bytes go out as they are.
    if isinstance(out, TextIOWrapper):
        out.flush()
        out.buffer.write(code)
    else:
        out.write(code.decode(errors="replace"))


def _is_below(name: str, places: Sequence[str]) -> bool:
    """Whether something is at one of the places that were asked for; patterns of git's are not known here."""
    return not places or any(
        place in {".", name} or name.startswith(f"{place}/") for place in places
    )


if __name__ == "__main__":
    sys.exit(main())
