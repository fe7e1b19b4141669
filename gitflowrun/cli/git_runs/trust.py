"""`git runs trust`: lists and changes whose runs may execute code here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.cli.output.tables import show
from gitflowrun.cli.output.text import printable
from gitflowrun.errors import NotFound, UsageError
from gitflowrun.git.repository import Repository
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.trust import Trust

if TYPE_CHECKING:
    from gitflowrun.runs.read import StoredRun


def change_trust(*, delete: bool, as_json_: bool, names: tuple[str, ...]) -> None:
    """Trust a run as it is now, or all runs of a remote; without a name, list what is trusted."""
    if delete and not names:
        raise UsageError("whose trust is to be taken back?", hint="git runs trust -d REMOTE|RUN")
    repo = Repository.discover()
    trust = Trust(repo)
    said = [_change(repo, trust, name, delete=delete) for name in names] or _all(trust)
    show(repo, trust.trusted, lambda _: map(printable, said), json=as_json_)


def _change(repo: Repository, trust: Trust, name: str, *, delete: bool) -> str:
    """Trust one, or no longer; returns what to say. A remote's name comes before a run's address."""
    if name in repo.remotes() or (delete and name in trust.trusted.remotes):
        if delete:
            done = trust.distrust_remote(name)
            return (
                f"the runs of {name} are no longer trusted" if done else f"{name} was not trusted"
            )
        return f"all runs of {name} ({trust.trust_remote(name)}) are trusted, now and later"
    run = _find(repo, name)
    if delete:
        done = trust.distrust_run(run.identity)
        return f"{run.pathspec} is no longer trusted" if done else f"{run.pathspec} was not trusted"
    return f"{run.pathspec} is trusted as it is now, at {trust.trust_run(run.identity).short}"


def _find(repo: Repository, name: str) -> StoredRun:
    try:
        return RunStore(repo).find(name)
    except NotFound as error:
        remotes = ", ".join(repo.remotes())
        hint = f"`git runs` lists the runs; the remotes are: {remotes}" if remotes else error.hint
        raise NotFound(f"there is no remote or run {name!r}", hint=hint) from error


def _all(trust: Trust) -> list[str]:
    trusted = trust.trusted
    lines = [f"remote {name}" for name in trusted.remotes]
    lines += [f"run at {oid}" for oid in trusted.runs]
    return lines or [
        "Only the runs of this clone are trusted. 'git runs trust REMOTE|RUN' trusts others."
    ]
