"""`git runs verify`: who signed runs, whether that is who committed them, and whether they are whole."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gitflowrun.cli.errors import UNVERIFIED
from gitflowrun.cli.git_runs.run_words import expand_queries
from gitflowrun.cli.output.tables import Cell, Column, show, table
from gitflowrun.cli.output.text import printable
from gitflowrun.errors import UsageError
from gitflowrun.git.repository import Repository
from gitflowrun.git.signing.signature_check import SignatureState
from gitflowrun.porcelain.checks.verify import RunVerifier, Verification
from gitflowrun.runs.runs import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gitflowrun.cli.output.terminal import Screen
    from gitflowrun.runs.read import StoredRun

_NEUTRAL = {SignatureState.UNSIGNED, SignatureState.UNKNOWN_SIGNER, SignatureState.UNCHECKED}


def verify_runs(
    *, everything: bool, allow_unsigned: bool, as_json_: bool, addresses: tuple[str, ...]
) -> int:
    """Say of runs whether their signatures are good; 1 if one is not."""
    repo = Repository.discover()
    verifier = RunVerifier(repo)
    found = [
        verifier.verify(run)
        for run in _chosen(RunStore(repo), expand_queries(repo, addresses), everything)
    ]
    show(repo, found, lambda screen: _lines(found, screen), json=as_json_)
    if not as_json_:
        for hint in dict.fromkeys(it.hint for it in found if it.hint):
            sys.stderr.writelines(f"hint: {printable(line)}\n" for line in hint.split("\n"))
    good = {SignatureState.GOOD, *([SignatureState.UNSIGNED] if allow_unsigned else [])}
    return 0 if all(it.state in good for it in found) else UNVERIFIED


def _chosen(store: RunStore, addresses: list[str], everything: bool) -> Iterator[StoredRun]:
    if everything and addresses:
        raise UsageError("name runs, or all of them", hint="git runs verify --all")
    if everything:
        yield from (store.get(*name) for name in store.names())
    else:
        yield from (store.find(word) for word in store.expand(addresses or ["@latest"]))


def _lines(found: Sequence[Verification], screen: Screen) -> Iterator[str]:
    columns = [
        Column("RUN"), Column("SIGNATURE"), Column("SIGNER", shrinks=True), Column("KEY", shrinks=True),
        Column("NOTE", shrinks=True),
    ]  # fmt: skip
    rows: list[list[Cell | str]] = [
        [Cell(it.run, screen.style.yellow), _state(it, screen), it.signer, it.key, _note(it)]
        for it in found
    ]
    yield from table(columns, rows, screen)


def _state(found: Verification, screen: Screen) -> Cell:
    paint = screen.style.green if found.state is SignatureState.GOOD else screen.style.red
    return Cell(found.state.value, None if found.state in _NEUTRAL else paint)


def _note(found: Verification) -> str:
    made = "made in this clone" if found.made_here else ""
    return "; ".join(filter(None, (found.why, made)))
