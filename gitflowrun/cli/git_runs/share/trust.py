"""`git runs trust` and `git runs untrust`: whose runs may execute code here, and what that allows."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from gitflowrun.cli.output.tables import Column, prose, show, table
from gitflowrun.cli.output.text import counted, printable
from gitflowrun.errors import NotFound, UsageError
from gitflowrun.git.repository import Repository
from gitflowrun.git.transport.remote import Remote
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.trust import Trust
from gitflowrun.runs.vouched import Vouched, VouchedKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gitflowrun.cli.output.terminal import Screen
    from gitflowrun.runs.read import StoredRun

_OWN = "Runs that you made in this clone are trusted, and need no line here."
_MEANING = (
    "What is trusted may do anything that you can do: pickles, data frames, tensors and values of classes of its own "
    "are loaded, and its code is written out as it is. Of all other runs only what our own readers decode is loaded: "
    "text, bytes, plain values, numpy arrays of numbers. Everything else shows what its task noted of it."
)


def trust(*, as_json_: bool, names: tuple[str, ...], signers: tuple[str, ...]) -> None:
    """Trust runs as they are now, all that is fetched from where a remote is, or all that a key has signed."""
    _change(as_json_, [*((_trust, it) for it in names), *((_trust_signer, it) for it in signers)])


def untrust(*, as_json_: bool, names: tuple[str, ...], signers: tuple[str, ...]) -> None:
    """Take the trust in runs, remotes and signers back."""
    if not names and not signers:
        raise UsageError(
            "whose trust is to be taken back?",
            hint="git runs untrust REMOTE|URL|RUN; `git runs trust --list` lists them",
        )
    changes = [*((_untrust, it) for it in names), *((_untrust_signer, it) for it in signers)]
    _change(as_json_, changes)


def list_trusted(*, as_json_: bool) -> None:
    """List what is trusted, and say what that allows."""
    repo = Repository.discover()
    found = Trust(repo)
    show(repo, found.vouched, lambda screen: _listed(repo, found, screen), json=as_json_)


def _change(
    as_json_: bool, changes: Sequence[tuple[Callable[[Repository, Trust, str], str], str]]
) -> None:
    repo = Repository.discover()
    found = Trust(repo)
    said = [change(repo, found, name) for change, name in changes]
    show(repo, found.vouched, lambda _: map(printable, said), json=as_json_)


def _trust(repo: Repository, found: Trust, name: str) -> str:
    if _is_remote(repo, name):
        place = Remote(repo, name).place
        found.vouch_for_url(place)
        return (
            f"what comes from {place} is trusted: `git runs fetch {name}` notes which runs that are, also of those "
            "that are here; a remote of another URL is not trusted, whatever its name"
        )
    run = _find(repo, name)
    found.vouch_for_run(run)
    taken = run.info.origin is not None and not run.info.origin.trusted_runs
    but = "; what it took over from a run that was not trusted stays so" if taken else ""
    return f"{run.pathspec} is trusted as it is now, at {run.commit.short}{but}"


def _untrust(repo: Repository, found: Trust, name: str) -> str:
    known = {it.value for it in found.vouched if it.kind is VouchedKind.URL}
    if name in known or _is_remote(repo, name):
        place = name if name in known else Remote(repo, name).place
        return _withdrawn(place, found.withdraw_url(place), [])
    run = _find(repo, name)
    removed = found.withdraw_run(run)
    again = sorted({it.source for it in removed} & known)
    return _withdrawn(run.pathspec, removed, again)


def _trust_signer(repo: Repository, found: Trust, name: str) -> str:
    """Trust a key, or those that somebody has now: a name may get others later."""
    from gitflowrun.git.signing.signature_check import SignatureCheck, is_fingerprint

    keys = [name] if is_fingerprint(name) else SignatureCheck(repo.git).keys_of(name)
    if not keys:
        raise NotFound(
            f"no key is known for {name!r} that may sign now",
            hint="name its fingerprint, as `git runs verify` shows it; names are looked up in the "
            "gpg.ssh.allowedSignersFile of your own config (`git config --global`, not the repository's) and among "
            "those keys of your keyring that gpg knows to be theirs (`gpg --lsign-key` says so)",
        )
    for key in keys:
        found.vouch_for_signer(key, "" if key == name else name)
    return f"runs signed by {' or '.join(keys)} are trusted, whatever they are called and whoever sends them"


def _untrust_signer(_repo: Repository, found: Trust, name: str) -> str:
    removed = found.withdraw_signer(name)
    if not removed:
        return f"{name} was not listed as a trusted signer"
    return f"a signature by {' or '.join(it.value for it in removed)} is no reason to trust a run any more"


def _is_remote(repo: Repository, name: str) -> bool:
    """Whether a word is a remote, a URL or a path, and so no run."""
    return name in repo.remotes() or "://" in name or name.startswith(("/", "./", "../"))


def _withdrawn(what: str, removed: list[Vouched], again: list[str]) -> str:
    if not removed:
        return f"{what} was not listed as trusted; runs made in this clone always are"
    states = sum(it.kind is VouchedKind.COMMIT for it in removed)
    of_runs = f", nor are the states of runs that came from there ({states:,})" if states else ""
    if removed[0].kind is VouchedKind.COMMIT:
        of_runs = ""
    more = (
        f"; the next fetch from {' or '.join(again)}, which is, makes it so again" if again else ""
    )
    return f"{what} is no longer trusted{of_runs}{more}"


def _find(repo: Repository, name: str) -> StoredRun:
    try:
        return RunStore(repo).find(name)
    except NotFound as error:
        remotes = ", ".join(repo.remotes())
        hint = f"`git runs` lists the runs; the remotes are: {remotes}" if remotes else error.hint
        raise NotFound(f"there is no remote or run {name!r}", hint=hint) from error


def _listed(repo: Repository, found: Trust, screen: Screen) -> Iterator[str]:
    fetched = Counter(it.source for it in found.vouched if it.source)
    names = {}
    if any(it.kind is VouchedKind.COMMIT and not it.source for it in found.vouched):
        names = {str(row.uid): f"{row.flow}/{row.id}" for row in RunStore(repo).summaries()}
    rows = [
        ("run" if it.kind is VouchedKind.COMMIT else it.kind.value, *_described(it, names, fetched))
        for it in found.vouched
        if not it.source
    ]
    if rows:
        yield from table([Column(title) for title in ("", "trusted", "since", "")], rows, screen)
        yield ""
    elif fetched:
        yield "No remote is trusted any more."
    if found.damaged:
        yield (
            f"{counted(found.damaged, 'line')} of {repo.common_dir}/gitflowrun-trusted count for nothing: they are "
            "not as they were when the key of this clone sealed them"
        )
        yield ""
    for sentence in (_OWN, _MEANING):
        yield from prose(sentence, screen)


def _described(
    entry: Vouched, names: dict[str, str], fetched: Counter[str]
) -> tuple[str, str, str]:
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.since))
    if entry.kind is VouchedKind.URL:
        return entry.value, since, f"{counted(fetched[entry.value], 'state')} fetched from there"
    if entry.kind is VouchedKind.SIGNER:
        return entry.value, since, f"said to be {entry.name}'s" if entry.name else ""
    run = names.get(entry.run, f"run {entry.run[:7]}, which is not here")
    return run, since, f"as it was at {entry.value[:7]}"
