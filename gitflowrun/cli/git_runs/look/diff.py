"""`git runs diff`: the differences between two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.cli.errors import DIFFERS, GIT, Damage
from gitflowrun.cli.git_runs.look.code_text import code_text
from gitflowrun.cli.git_runs.look.diff_lines import (
    code_lines,
    described,
    left_out_lines,
    step_line,
)
from gitflowrun.cli.output.tables import as_json, pairs, section
from gitflowrun.cli.output.terminal import Screen, open_screen
from gitflowrun.cli.output.text import printable
from gitflowrun.cli.typed_paths import from_top, path_hint
from gitflowrun.errors import CorruptRecord, NotFound, RepositoryError, UsageError
from gitflowrun.git.diff import diff_trees
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.comparison.changes import delta
from gitflowrun.porcelain.comparison.compare import (
    Difference,
    RunDifference,
    compare,
)
from gitflowrun.runs.lookup.ranges import parse_range
from gitflowrun.runs.runs import RunStore
from gitflowrun.values import field_names, replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gitflowrun.runs.read import StoredRun

_TWO = 2
_BEFORE, _LATEST = "@{1}", "@latest"


def print_difference(
    *,
    patch: bool,
    form: str | None,
    layout: str,
    exit_code: bool,
    as_json_: bool,
    runs: tuple[str, ...],
    paths: tuple[str, ...],
) -> int:
    """Show what differs between two runs: parameters, environment, artifacts, code.

    Args:
        patch: Whether to show what differs in the code line by line.
        form: Show nothing but the code, in this form of `code_diff`.
        layout: `text`, or `markdown`, which shows all that differs, as JSON does.
        exit_code: Whether the exit code says if anything shown differs.
        as_json_: Print JSON.
        runs: None, one or two addresses, or a range.
        paths: Of the code only these, and in text nothing but the code.
    """
    addresses = _addresses(runs)
    repo, damage = Repository.discover(), Damage(GIT)
    old, new = _find(RunStore(repo), addresses)
    places = [from_top(repo, path) for path in paths]
    is_whole = as_json_ or layout == "markdown"
    if (form or places) and not is_whole:
        form = "patch" if patch or form is None else form
        return _print_code(repo, (old, new), form, places, exit_code=exit_code)
    found = compare(repo, old, new)
    if places:
        found = replace(found, code=diff_trees(repo, old.code_tree, new.code_tree, paths=places))
    for message in found.unreadable:
        damage.tell(CorruptRecord(message))
    with open_screen(repo, page=True) as screen:
        text = None
        if patch:
            try:
                trees = old.code_tree, new.code_tree
                text = code_text(repo, trees, screen, paths=places, raw=is_whole)
            except (CorruptRecord, RepositoryError) as error:
                damage.tell(error)
                text = ""
        if as_json_:
            document = {name: getattr(found, name) for name in field_names(found)}
            if text is not None:  # whole, as `git apply` takes it
                document["patch"] = text + "\n" * bool(text)
            screen.line(as_json(document))
        elif is_whole:
            from gitflowrun.cli.git_runs.look.diff_markdown import markdown_lines

            screen.lines(markdown_lines(found, text, screen.out))
        else:
            screen.lines(_lines(found, text, screen))
    differs = bool(found.code.files) if places or form else found.differs
    return damage.exit_code or (DIFFERS if exit_code and differs else 0)


def _print_code(
    repo: Repository,
    runs: tuple[StoredRun, StoredRun],
    form: str,
    paths: Sequence[str],
    *,
    exit_code: bool,
) -> int:
    """Show nothing but what differs in the code, as `git diff` does."""
    trees = runs[0].code_tree, runs[1].code_tree
    with open_screen(repo, page=True) as screen:
        text = code_text(repo, trees, screen, form=form, paths=paths)
        if text:
            screen.line(text)
    return DIFFERS if exit_code and text else 0


def _addresses(runs: tuple[str, ...]) -> tuple[str, str]:
    """The two runs to compare, the older one first."""
    if len(runs) == 1 and (ends := parse_range(runs[0])):
        first, last = ends.ends
        return first or _LATEST, last or _LATEST  # as HEAD in git's ranges
    if len(runs) > _TWO:
        raise UsageError(
            "git runs diff compares two runs", hint="name one or two; `--` comes before paths"
        )
    if len(runs) == _TWO:
        return runs[0], runs[1]
    return runs[0] if runs else _BEFORE, _LATEST


def _find(store: RunStore, addresses: tuple[str, str]) -> tuple[StoredRun, StoredRun]:
    old, new = addresses
    newest = _named(store, new, f"git runs diff {old}")
    try:
        return _named(store, old, "git runs diff"), newest
    except NotFound:
        if old != _BEFORE:
            raise
        raise NotFound(
            f"{newest.pathspec} is the only run: there is nothing to compare it with",
            hint="`python FLOW.py run` makes another one; `git runs fetch` gets those of a remote",
        ) from None


def _named(store: RunStore, word: str, command: str) -> StoredRun:
    """The run at an address; of a file's name is said how `command` takes it."""
    try:
        return store.find(word)
    except NotFound as error:
        hint = path_hint(command, word) or error.hint
        raise NotFound(error.message, hint=hint) from error


def _lines(found: RunDifference, patch: str | None, screen: Screen) -> Iterator[str]:
    """What differs, for a person."""
    yield screen.style.red(f"--- {printable(found.old)}")
    yield screen.style.green(f"+++ {printable(found.new)}")
    if not found.differs and found.unreadable:
        yield "What can be read of them is the same."
    elif not found.differs:
        code = "recorded code" if found.unknown else "code"
        yield f"They have the same parameters, environment, artifacts and {code}, and ended alike."
    if (status := found.status) is not None:
        yield from section("Status", _pairs([status], found, screen), screen)
    yield from section("Parameters", _pairs(found.parameters, found, screen), screen)
    yield from section("Environment", _pairs(found.environment, found, screen), screen)
    yield from section("Artifacts", _artifacts(found, screen), screen)
    yield from section("Steps", map(step_line, found.steps), screen)
    lines = patch.rstrip("\n").split("\n") if patch else code_lines(found.code, screen)
    yield from section("Code", lines, screen)
    yield from section("Not in the recorded code", left_out_lines(found, screen), screen)


def _pairs(rows: Iterable[Difference[str]], found: RunDifference, screen: Screen) -> Iterator[str]:
    return pairs(
        [(row.name, _change(row.name, row.old, row.new, found, screen)) for row in rows], "  "
    )


def _artifacts(found: RunDifference, screen: Screen) -> Iterator[str]:
    rows = []
    for row in found.artifacts:
        old, new = described(row)
        rows.append((row.name, _change(row.name, old, new, found, screen, delta(old, new))))
    return pairs(rows, "  ")


def _change(
    name: str,
    old: str | None,
    new: str | None,
    found: RunDifference,
    screen: Screen,
    amount: str = "",
) -> str:
    """Both sides, and below them in what they differ."""
    style = screen.style
    before = "(none)" if old is None else style.red(printable(old))
    after = "(none)" if new is None else style.green(printable(new))
    paint = {"-": style.red, "+": style.green}
    more = [paint.get(line[:1], str)(printable(line)) for line in found.changes.get(name, ())]
    return "\n".join([f"{before} -> {after}{amount}", *more])
