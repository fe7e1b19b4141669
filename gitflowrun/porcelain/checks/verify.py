"""Who signed a run, and whether it is whole: a signature of its newest commit is, by hash, one over all of it.

So a run that a known key has signed, or that was made here, is read from that commit on, every object of it once, each
compared with its id: what the signature covers is then what is here. A run that is not whole is tampered with, whatever
its signature says; so is one whose states do not have one INFO, or that is filed under the name of another run.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, MissingObject, TooLarge
from gitflowrun.git.objects import Mode, ObjectType, Oid, parse_commit
from gitflowrun.git.signing.signature import split_signature
from gitflowrun.git.signing.signature_check import SignatureCheck, SignatureReport, SignatureState
from gitflowrun.limits import COMMIT_SIZE, MAX_CHUNK, MAX_STATES, SIGNED_STATES
from gitflowrun.runs import layout
from gitflowrun.runs.trust import Trust
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.read import StoredRun


_WORTH_READING = {SignatureState.GOOD, SignatureState.OTHER_SIGNER}


@frozen
class Verification:
    """What is known of a run's authenticity.

    Attributes:
        run: `Flow/id`.
        commit: Its newest commit, of which all this is said.
        state: Whether its signature is good and the run whole, or what is not.
        format: `ssh`, `openpgp` or `x509`; empty without a signature.
        signer: Whose key has signed it, as you know it; empty where you don't.
        key: The fingerprint of that key.
        committer: Who says to have made it: a name and an address, which anybody can write.
        made_here: Whether you made it in this clone, as its MAC says.
        why: What is wrong, in one line.
        hint: What to do about it.
    """

    run: str
    commit: Oid
    state: SignatureState
    format: str
    signer: str
    key: str
    committer: str
    made_here: bool
    why: str
    hint: str | None


class RunVerifier:
    """Verifies runs of a repository. What several runs have in common is read once.

    Args:
        repo: The repository.
    """

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._check = SignatureCheck(repo.git)
        self._trust = Trust(repo)
        self._whole: set[Oid] = set()

    def verify(self, run: StoredRun) -> Verification:
        """What is known of a run as it was read.

        Raises:
            RepositoryError: git can't be asked.
        """
        committer, made_here = "", self._trust.made_here(run)
        try:
            tip = self._commit(run.commit)
            who = parse_commit(tip).committer
            committer = f"{who.name} <{who.email}>"
            _check_name(run)
            report = self._check.check(tip)
            # A stranger's run, which is not good in any case, may be as long and as large as they like.
            if made_here or report.state in _WORTH_READING:
                self._check_history(run)
                self._check_tree(parse_commit(tip).tree)
            if report.state is SignatureState.UNSIGNED:
                report = replace(report, why=self._why_unsigned(run))
        except (CorruptRecord, MissingObject) as error:
            report = SignatureReport(SignatureState.TAMPERED, why=error.message, hint=error.hint)
        return Verification(
            run=run.pathspec,
            commit=run.commit,
            state=report.state,
            format=report.format,
            signer=report.signer,
            key=report.key,
            committer=committer,
            made_here=made_here,
            why=report.why,
            hint=report.hint,
        )

    def _check_history(self, run: StoredRun) -> None:
        """Make sure that all states of a run have one INFO, which is all that the first one has.

        Raises:
            MissingObject: one is not here.
            CorruptRecord: they have not.
        """
        found = [(oid, parse_commit(data).tree) for oid, data in self._states(run.commit)]
        infos = {self._repo.objects.tree_oids(tree).get(layout.INFO) for _, tree in found}
        first, tree = found[-1]
        if len(infos) > 1 or set(self._repo.objects.tree_oids(tree)) != {layout.INFO}:
            raise CorruptRecord("its INFO is not what its first commit consists of")
        if first != run.identity.uid:
            raise CorruptRecord(
                f"its first commit is {first}, and it says to be {run.identity.uid}"
            )

    def _why_unsigned(self, run: StoredRun) -> str:
        for oid, data in itertools.islice(self._states(run.commit), SIGNED_STATES):
            if split_signature(data)[1]:
                return f"its state {oid.short} is signed; what was added since is not"
        return "" if run.state.status.is_final else "a run is signed when it ends"

    def _states(self, oid: Oid) -> Iterator[tuple[Oid, bytes]]:
        """A run's commits and their content, the newest first."""
        for _ in range(MAX_STATES):
            data = self._commit(oid)
            yield oid, data
            parents = parse_commit(data).parents
            if not parents:
                return
            if len(parents) > 1:
                raise CorruptRecord("its history has a merge, which no run makes")
            oid = parents[0]
        raise CorruptRecord(f"its history has more than {MAX_STATES:,} commits")

    def _commit(self, oid: Oid) -> bytes:
        kind, data = self._repo.objects.read(oid, COMMIT_SIZE)
        if kind is not ObjectType.COMMIT:
            raise CorruptRecord(f"object {oid} is no commit")
        return data

    def _check_tree(self, root: Oid) -> None:
        """Read all that lies below a tree, but for what was read before.

        Raises:
            MissingObject: something is not here.
            CorruptRecord: something is damaged.
        """
        objects, waiting, seen = self._repo.objects, [root], {root}
        while waiting:
            for entry in objects.tree(waiting.pop()):
                if entry.mode == Mode.GITLINK or entry.oid in seen or entry.oid in self._whole:
                    continue
                seen.add(entry.oid)
                if entry.is_tree:
                    waiting.append(entry.oid)
                else:
                    self._check_blob(entry.oid)
        self._whole |= seen

    def _check_blob(self, oid: Oid) -> None:
        try:
            self._repo.objects.blob(oid, MAX_CHUNK)
        except TooLarge:
            for _ in self._repo.objects.pieces(oid):
                pass


def _check_name(run: StoredRun) -> None:
    """Raises CorruptRecord: a run is filed under another one's name, or its message or INFO is not that of a run."""
    number, _, suffix = run.id.partition("-")
    own = run.info.flow, str(run.info.id)
    if (run.flow, number) != own or not str(run.identity.uid).startswith(suffix):
        raise CorruptRecord(f"it is {'/'.join(own)}, filed as {run.pathspec}")
    _ = run.state
