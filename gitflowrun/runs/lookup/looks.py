"""Which runs of a list are damaged: their commit is here, and their tree or INFO is not.

That is what a lost pack or a power cut may leave. One process of git looks at the first thousand; while the packs and
loose objects are as they were (`stamps`), it need not look again. `porcelain.checks.fsck` finds the rest.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from typing import TYPE_CHECKING

from gitflowrun import msgpack
from gitflowrun._version import __version__
from gitflowrun.errors import CorruptRecord, RepositoryError
from gitflowrun.limits import INFO_ROUNDS
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.lookup.own_file import NewFile, open_own
from gitflowrun.runs.lookup.stamps import NEVER, Stamp, objects_stamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.lookup.run_columns import RunTable

_FORM = f"1 {__version__}"
_CHECKSUM = 4  # bytes
INFO_LOOKS = 1_000
"""Of so many of the newest runs is looked whether INFO is there, 11 us each."""
LISTED_INFO = 100
"""Bytes of git's answer to that."""
LOOKS_FILE = 4 << 20
"""Bytes of the file that says which runs were looked at: 40 a run, and a hundred a pack."""
_FLOWS = 8
"""Of so many flows is kept that their runs were looked at."""


def note_lost(repo: Repository, table: RunTable, flow: str | None) -> None:
    """Note of the first thousand runs of a table which are damaged.

    Args:
        repo: The repository.
        table: The first runs of a flow, or of all, or all of them.
        flow: The flow.
    """
    if repo.is_partial:  # git would fetch what it looks for
        return
    first = table.head(INFO_LOOKS)
    damaged = Status.DAMAGED.value
    pairs = zip(first.column("commit"), first.column("status"), strict=True)
    looks = [commit for commit, word in pairs if word != damaged]
    if not looks:
        return
    path = repo.state_dir / f"whole-{os.geteuid()}"
    stamp = objects_stamp(repo.objects_dir)
    known = _known(path, stamp)
    if known.get(flow or "", "").startswith(" ".join(looks)):
        return
    with contextlib.ExitStack() as stack:
        new = None
        with contextlib.suppress(OSError, RepositoryError):
            repo.state()
            new = stack.enter_context(NewFile(path))
        if new is not None and new.device == repo.objects_dir.stat().st_dev:
            stamp = objects_stamp(repo.objects_dir)
        else:
            stamp = NEVER
        lost = lost_among(repo, looks)
        if new is not None and stamp.text and not lost:
            known.pop(flow or "", None)
            _publish(new, stamp, known | {flow or "": " ".join(looks)})
    for place, commit in enumerate(first.column("commit")) if lost else ():
        if commit in lost:
            table.note(place, Status.DAMAGED)


def lost_among(repo: Repository, commits: Sequence[str]) -> set[str]:
    """The commits whose tree or INFO is not here."""
    lost: set[str] = set()
    looks = commits
    for _ in range(INFO_ROUNDS):
        if not looks:
            break
        lines = "".join(f"{commit}:{layout.INFO.decode()}\n" for commit in looks).encode("ascii")
        batch = ("cat-file", "--batch-check=%(objectname)")
        answers = repo.git.read(*batch, most=LISTED_INFO * len(looks), stdin=lines).out.splitlines()
        found = zip(looks, answers, strict=False)
        lost |= {commit for commit, answer in found if answer.endswith(b" missing")}
        # At a tree that is garbled, or larger than what is read of any, git has ended without an answer.
        lost.update(looks[len(answers) :][:1])
        looks = looks[len(answers) + 1 :]
    return lost


def _known(path: Path, stamp: Stamp) -> dict[str, str]:
    """The commits that were looked at, by flow; none if packs or loose objects are not as they were."""
    if not stamp.text:
        return {}
    try:
        file = open_own(path, LOOKS_FILE)
        try:
            data = os.read(file, LOOKS_FILE)
        finally:
            os.close(file)
        if zlib.crc32(data[_CHECKSUM:]).to_bytes(_CHECKSUM, "big") != data[:_CHECKSUM]:
            return {}
        form, text, begun, known = msgpack.unpack_message(data[_CHECKSUM:])
    except (RepositoryError, CorruptRecord, ValueError, TypeError, OSError):
        return {}
    is_so = form == _FORM and text == stamp.text and type(begun) is int and stamp.is_certain(begun)
    if not is_so or type(known) is not dict or {*map(type, known.values())} != {str}:
        return {}
    return known


def _publish(new: NewFile, stamp: Stamp, known: dict[str, str]) -> None:
    few = dict([*known.items()][-_FLOWS:])
    data = msgpack.pack_message([_FORM, stamp.text, new.begun, few])
    if len(data) + _CHECKSUM <= LOOKS_FILE:
        with contextlib.suppress(OSError):
            new.publish([zlib.crc32(data).to_bytes(_CHECKSUM, "big"), data])
