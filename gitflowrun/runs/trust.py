"""Trust: whose runs may execute code here, and which of their payloads may be loaded if loading could run code.

Trust belongs to bytes: to a commit, by its id alone. Names, numbers, tags, refs, uids and nicknames of remotes can be
anybody's and are no evidence. A commit is trusted when

1. it was made in this clone: its message carries a MAC, a keyed hash of all else in it (`clone_key`); or
2. the user vouched for it, or for a later state of the same run (`git runs trust 12`), or `git runs fetch` took one of
   them from a URL that the user vouched for (`git runs trust origin`): both stand in a sealed file (`vouched`); or
3. it is the last commit of a run, with a good signature by a key whose fingerprint stands there, too
   (`git runs trust --signer ada@example.org`).

*Tasks of other runs.* A run that resumes another takes over its tasks with all they stored, so a run made here may hold
a stranger's pickles, and the stranger wrote the records that tell where they come from. So which of them count is
decided when they are taken over, and recorded in what the MAC seals; nothing is looked up later:

- INFO names the runs whose tasks count (`RunOrigin.trusted_runs`): none of a run that is not trusted in the state it
  has, else its own and those that its INFO names. A stranger's records can't claim to be of these: they were there
  before the runs were, whose uids nobody could know.
- A task that such a run executes marks what it passes on of others (`ArtifactRef.untrusted`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError
from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.limits import COMMIT_SIZE, MAX_STATES
from gitflowrun.runs import layout
from gitflowrun.runs.clone_key import CloneKey
from gitflowrun.runs.commit_message import parse_message
from gitflowrun.runs.vouched import Vouched, VouchedFile, VouchedKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.git.objects import Commit
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.read import StoredRun, StoredTask


class Trust:
    """Whom the user of a repository trusts. What is vouched for meanwhile, in other processes, too, counts at once.

    Args:
        repo: The repository.
    """

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._key = CloneKey(repo)
        self._file = VouchedFile(repo, self._key)
        self._stamp: tuple[object, ...] = ()
        self._read: tuple[list[Vouched], int] = ([], 0)
        self._listed: set[Oid] = set()
        self._states: dict[str, list[Oid]] = {}
        self._signers: dict[str, str] = {}
        self._answers: dict[Oid, bool] = {}
        self._executors: dict[tuple[Oid, Oid], frozenset[Oid]] = {}

    # ---- what is trusted ----

    def trusts(self, commit: Oid) -> bool:
        """Whether a run, as it is at a commit, may execute code here.

        Raises:
            RepositoryError: the key, or what the user vouched for, is there and can't be used.
        """
        self._look()
        if commit not in self._answers:
            self._answers[commit] = (
                self.made(commit) or self._is_vouched_for(commit) or self._is_signed(commit)
            )
        return self._answers[commit]

    def trusts_run(self, run: StoredRun) -> bool:
        """Whether a run, as it was read, may execute code here."""
        if not self.trusts(run.commit):
            return False
        found = self._commit(run.commit)
        return found is not None and found.tree == run.tree  # which may come from a list

    def made_here(self, run: StoredRun) -> bool:
        """Whether this user made a run, as it was read, in this clone."""
        return self.made(run.commit)

    def executors(self, run: StoredRun) -> frozenset[Oid]:
        """The uids of the runs whose tasks count as trusted in a run as it was read; none if it isn't trusted."""
        self._look()
        key = run.commit, run.tree
        if key not in self._executors:
            self._executors[key] = self._executors_of(run) if self.trusts_run(run) else frozenset()
        return self._executors[key]

    def _executors_of(self, run: StoredRun) -> frozenset[Oid]:
        origin = run.info.origin
        if origin is None:
            return frozenset([run.identity.uid])
        if origin.trusted_runs is None:
            return frozenset()  # it passes things on without marking them
        return frozenset([run.identity.uid, *origin.trusted_runs])

    def trusts_task(self, task: StoredTask) -> bool:
        """Whether a task was executed by a run that counts as trusted where it is found."""
        return task.record.run.uid in self.executors(task.run)

    def trusts_artifact(self, task: StoredTask, ref: ArtifactRef) -> bool:
        """Whether an artifact, as a task lists it, may be loaded if loading it could run code."""
        return not ref.untrusted and self.trusts_task(task)

    def stranger(self, task: StoredTask) -> str:
        """The run that would have to be trusted for an artifact of a task that is not."""
        origin = task.run.info.origin if self.trusts_run(task.run) else None
        return task.run.pathspec if origin is None else origin.run.pathspec

    def how_to_trust(self, task: StoredTask) -> str:
        """What to do to load an artifact of a task that is not trusted."""
        run, origin = task.run, self.stranger(task)
        if origin == run.pathspec or run.info.origin is None:
            return f"if you trust whoever made {run.pathspec}: git runs trust {run.pathspec}"
        if run.info.origin.trusted_runs is None:
            return (
                f"an older release made {run.pathspec} from {origin}, and did not record what it had from whom; "
                f"resume {origin} again"
            )
        return (
            f"it was taken over from {origin}, which was not trusted then; if you trust whoever made that: "
            f"git runs trust {origin}, and resume it again"
        )

    # ---- what the user says ----

    @property
    def vouched(self) -> tuple[Vouched, ...]:
        """All that the user vouched for, oldest first."""
        self._look()
        return tuple(self._read[0])

    @property
    def damaged(self) -> int:
        """How many lines of the file that holds it are not as they were sealed, and count for nothing."""
        self._look()
        return self._read[1]

    def vouch_for_run(self, run: StoredRun) -> None:
        """Trust a run as it was read."""
        uid = str(run.identity.uid)
        self._file.add([Vouched.now(VouchedKind.COMMIT, str(run.commit), run=uid)])

    def vouch_for_url(self, place: str) -> None:
        """Trust all that `git runs fetch` takes from a remote, by where that is (`Remote.place`)."""
        self._file.add([Vouched.now(VouchedKind.URL, place)])

    def note_fetched(self, place: str, states: Mapping[Oid, Oid]) -> bool:
        """Trust commits that a fetch has found at a place, if the user vouched for that.

        Args:
            place: Where that is.
            states: The commits, and the uids of their runs.

        Returns:
            Whether the user did.
        """
        if not any((it.kind, it.value) == (VouchedKind.URL, place) for it in self.vouched):
            return False
        new = {commit: uid for commit, uid in states.items() if not self.made(commit)}
        self._file.add(
            Vouched.now(VouchedKind.COMMIT, str(commit), place, str(uid))
            for commit, uid in new.items()
        )
        return True

    def withdraw_run(self, run: StoredRun) -> list[Vouched]:
        """Trust no state of a run any more, unless it was made here; what was vouched for till now."""
        uid = str(run.identity.uid)
        return self._file.remove(lambda it: it.kind is VouchedKind.COMMIT and it.run == uid)

    def withdraw_url(self, place: str) -> list[Vouched]:
        """Trust nothing any more because it came from a place; what was vouched for till now."""
        return self._file.remove(
            lambda it: place == (it.value if it.kind is VouchedKind.URL else it.source)
        )

    def vouch_for_signer(self, key: str, name: str) -> None:
        """Trust all runs that end with a good signature by a key.

        Args:
            key: Its fingerprint.
            name: Whose it is, for people.
        """
        self._file.add([Vouched.now(VouchedKind.SIGNER, key, name=name)])

    def withdraw_signer(self, word: str) -> list[Vouched]:
        """Trust nothing any more because of a key, named by its fingerprint or as it was when it was trusted."""
        return self._file.remove(
            lambda it: it.kind is VouchedKind.SIGNER and word in (it.value, it.name)
        )

    def mac(self, commit: Commit) -> str:
        """The MAC of a commit that is about to be made here; empty where no key can be kept."""
        return self._key.mac(commit)

    # ---- how it is known ----

    def _look(self) -> None:
        """Read again what the user vouched for, if that has changed."""
        stamp = self._key.exists, *self._file.stamp
        if stamp == self._stamp:
            return
        self._read = self._file.read()
        self._stamp = stamp
        self._listed.clear()
        self._states.clear()
        for entry in self._read[0]:
            if entry.kind is VouchedKind.COMMIT:
                commit = Oid.from_hex(entry.value)
                self._listed.add(commit)
                self._states.setdefault(entry.run, []).append(commit)
        self._signers = {it.value: it.name for it in self._read[0] if it.kind is VouchedKind.SIGNER}
        self._answers.clear()
        self._executors.clear()

    def made(self, commit: Oid) -> bool:
        """Whether this user made a commit in this clone."""
        found = self._commit(commit)
        state = parse_message(found.message.decode(errors="replace")) if found else None
        if found is None or state is None or not self._key.has_made(found, state.mac):
            return False
        return self._has_no_more(commit, found)

    def _has_no_more(self, oid: Oid, commit: Commit) -> bool:
        """Whether a commit is what we write, byte by byte, but for the signature that a last one may have.

        A first commit with another header or spelling would be another run, which says all that ours does.
        """
        if hash_object(ObjectType.COMMIT, commit.encode()) == oid:
            return True
        if not commit.parents:
            return False
        from gitflowrun.git.signing.signature import split_signature  # few runs are signed

        try:
            _, content = self._repo.objects.read(oid, COMMIT_SIZE)
            return split_signature(content)[0] == commit.encode()
        except GitflowrunError:
            return False

    def _is_vouched_for(self, commit: Oid) -> bool:
        """Whether it, or a later state of it, is listed. What its message says only tells where to look."""
        if commit in self._listed or not self._listed:
            return bool(self._listed)
        found = self._commit(commit)
        state = parse_message(found.message.decode(errors="replace")) if found else None
        later = self._states.get(str((state and state.uid) or commit), ())
        return any(self._leads_to(it, commit) for it in later)

    def _is_signed(self, commit: Oid) -> bool:
        """Whether it is the last commit of a run, with a good signature by a key that the user vouched for."""
        if not self._signers or not self._ends_a_run(commit):
            return False
        from gitflowrun.git.signing.signature_check import (
            SignatureCheck,
        )  # nobody needs it who trusts no signer

        _, content = self._repo.objects.read(commit, COMMIT_SIZE)
        return SignatureCheck(self._repo.git).is_signed_by(content, self._signers)

    def _ends_a_run(self, commit: Oid) -> bool:
        """Whether a commit is the end of a line that begins with its INFO alone.

        The same keys sign commits of code, into which anybody can propose files that look like a run.
        """
        tip = found = self._commit(commit)
        for _ in range(MAX_STATES):
            if tip is None or found is None or len(found.parents) > 1:
                return False
            if not found.parents:
                break
            found = self._commit(found.parents[0])
        try:
            info = self._repo.objects.tree_oids(tip.tree).get(layout.INFO) if tip else None
            first = self._repo.objects.tree_oids(found.tree) if found else {}
        except GitflowrunError:
            return False
        state = parse_message(tip.message.decode(errors="replace")) if tip else None
        return state is not None and state.status.is_final and first == {layout.INFO: info}

    def _leads_to(self, commit: Oid, wanted: Oid) -> bool:
        """Whether the history of a commit has another one. Commits are read here: git would ask grafts as well."""
        for _ in range(MAX_STATES):
            found = self._commit(commit)
            if found is None or not found.parents:
                return False
            commit = found.parents[0]
            if commit == wanted:
                return True
        return False

    def _commit(self, commit: Oid) -> Commit | None:
        """A commit, whose content was compared with its id; None where there is none."""
        try:
            return self._repo.objects.commit(commit)
        except GitflowrunError:
            return None
