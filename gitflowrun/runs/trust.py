"""Trust: which runs may execute code here, and which of their payloads may be loaded if loading could run code.

Pickles, and the code of a run, are executed only for a trusted run. A run is trusted as it was at one commit:
somebody who publishes further commits of it does not inherit the trust. A commit is trusted when

1. it was made in this clone: its message carries a MAC, a keyed hash of its tree and parents; or
2. the user trusts it, or a later state of the same run (`git runs trust 12`); or
3. the user trusts a remote (`git runs trust origin`) whose runs, as last fetched, have it.

The key of the MAC lies beside the disposable state, in `gitflowrun-key-<user id>` of the common git directory, and is
never copied by clone, fetch or push. So deleting `.git/gitflowrun/` loses no trust in one's own runs, and nothing that
is deleted or fetched can make a stranger's run trusted; deleting the key makes own runs untrusted until the user
vouches for them. What the user trusts is local git config: `runs.trustedRun` and `runs.trustedRemote`.

*Provenance.* A run that resumes another takes over its tasks with all they stored, so a run made here may hold a
stranger's pickles, and the stranger wrote the records that tell where they come from. What is believed instead are the
runs themselves: the one that holds a task, the one it was made from, and so on, each named by the run before it in its
own INFO.

1. All these runs are trusted: no stranger had anything to do with the payload.
2. Otherwise a task counts only if one of the runs before the first stranger's executed it.
3. And an artifact only if the task that lists it counts, and so does the one that made it; and the maker did make it:
   where a stranger's list names a later task of ours as the maker, that very task inherits the artifact.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shlex
from functools import cached_property
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, NotFound, RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.names import PARAMETERS_STEP
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import parse_message
from gitflowrun.runs.resolve import resolve
from gitflowrun.settings import TRUSTED_REMOTE, TRUSTED_RUN
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.read import StoredRun, StoredTask
    from gitflowrun.runs.records import RunIdentity

_KEY_SIZE = 32


@frozen
class Trusted:
    """What the user said they trust.

    Attributes:
        runs: Commits of runs, with all earlier states of these runs.
        remotes: Where the remotes are, as `Remote.place` says it: a name can be given to another one.
    """

    runs: tuple[Oid, ...]
    remotes: tuple[str, ...]


class Trust:
    """Whom the user of a repository trusts.

    Args:
        repo: The repository.
    """

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._answers: dict[Oid, bool] = {}

    def is_trusted(self, run: RunIdentity, *, commit: Oid | None = None) -> bool:
        """Whether a run may execute code here.

        Args:
            run: The run.
            commit: Its state in question; the newest when None.
        """
        state = commit or self._tip(run)
        if state is None:
            return False
        if state not in self._answers:
            self._answers[state] = (
                self._was_made_here(state)
                or self._is_vouched_for(state)
                or any(self._has(place, run.flow, state) for place in self.trusted.remotes)
            )
        return self._answers[state]

    def trust_run(self, run: RunIdentity) -> Oid:
        """Trust a run as it is now; returns the commit that is trusted.

        Raises:
            NotFound: there is no such run.
        """
        tip = self._tip(run)
        if tip is None:
            raise NotFound(f"there is no run {run.pathspec}", hint="`git runs` lists them")
        self._add(TRUSTED_RUN, str(tip))
        return tip

    def trust_remote(self, name: str) -> str:
        """Trust all runs of a remote, one of `Repository.remotes`, as fetched from where it is, now and later.

        Returns:
            Where that is.
        """
        place = self._place(name)
        self._add(TRUSTED_REMOTE, place)
        return place

    def distrust_run(self, run: RunIdentity) -> bool:
        """Take trust in a run back; whether there was any. Runs made in this clone stay trusted."""
        removed = [it for it in self.trusted.runs if self._first_commit(it) == run.uid]
        for commit in removed:
            self._remove(TRUSTED_RUN, str(commit))
        return bool(removed)

    def distrust_remote(self, name: str) -> bool:
        """Take trust in a remote, or in a place of `Trusted.remotes`, back; whether there was any."""
        place = name if name in self.trusted.remotes else self._place(name)
        known = place in self.trusted.remotes
        if known:
            self._remove(TRUSTED_REMOTE, place)
        return known

    @cached_property
    def trusted(self) -> Trusted:
        """What the user said they trust."""
        runs = []
        for text in self._config(TRUSTED_RUN):
            with contextlib.suppress(ValueError):  # edited by hand
                runs.append(Oid.from_hex(text))
        return Trusted(tuple(runs), tuple(self._config(TRUSTED_REMOTE)))

    def mac(self, tree: Oid, parents: Sequence[Oid]) -> str:
        """The MAC of a commit that is about to be made here; empty where no key can be kept."""
        key = self._key or self._make_key()
        return _mac(key, tree, parents) if key else ""

    def _was_made_here(self, commit: Oid) -> bool:
        if not self._key:
            return False
        try:
            found = self._repo.objects.commit(commit)
        except GitflowrunError:
            return False
        state = parse_message(found.message.decode(errors="replace"))
        expected = _mac(self._key, found.tree, found.parents)
        return state is not None and secrets.compare_digest(state.mac.encode(), expected.encode())

    def _is_vouched_for(self, commit: Oid) -> bool:
        return commit in self.trusted.runs or any(
            self._repo.git.attempt("merge-base", "--is-ancestor", str(commit), str(it)).code == 0
            for it in self.trusted.runs
        )

    def _place(self, name: str) -> str:
        from gitflowrun.git.transport import Remote  # no run needs it

        return Remote(self._repo, name).place

    def _has(self, place: str, flow: str, commit: Oid) -> bool:
        """Whether the runs of the remote at a place, as last fetched, have a commit."""
        from gitflowrun.git.transport import label_of  # nobody needs it who trusts no remote

        prefix = f"{layout.tracking_prefix(label_of(place))}{flow}/"
        done = self._repo.git.attempt("for-each-ref", "--count=1", f"--contains={commit}", prefix)
        return done.code == 0 and bool(done.out)

    def _tip(self, run: RunIdentity) -> Oid | None:
        return self._repo.refs.get(layout.run_ref(run.flow, run.id))

    def _first_commit(self, commit: Oid) -> Oid:
        """The first commit of the run that a commit is a state of."""
        try:
            while parents := self._repo.objects.commit(commit).parents:
                commit = parents[0]
        except GitflowrunError:
            pass  # it is not here any more; nothing else has its id
        return commit

    def _config(self, name: str) -> list[str]:
        done = self._repo.git.attempt("config", "--local", "--null", "--get-all", name)
        return os.fsdecode(done.out).split("\0")[:-1] if done.code == 0 else []

    def _add(self, name: str, value: str) -> None:
        if value not in self._config(name):
            self._write("--add", name, value)
        self._forget()

    def _remove(self, name: str, value: str) -> None:
        self._write("--fixed-value", "--unset-all", name, value)
        self._forget()

    def _write(self, *change: str) -> None:
        done = self._repo.git.attempt("config", "--local", *change)
        if done.code:
            path = self._repo.common_dir / "config"
            raise RepositoryError(
                f"can't write what you trust into {path}: {done.message}",
                hint=f"you need to be able to write there; if no git is running, remove {path}.lock",
            )

    def _forget(self) -> None:
        self.__dict__.pop("trusted", None)
        self._answers.clear()

    @property
    def _key_file(self) -> Path:
        return self._repo.common_dir / f"gitflowrun-key-{os.getuid()}"

    @cached_property
    def _key(self) -> bytes | None:
        """The key of this clone; None where there is none yet.

        Raises:
            RepositoryError: it is there and can't be used. Going on without it, or with another one, would make one's
                own runs a stranger's.
        """
        path = self._key_file
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RepositoryError(
                f"can't read {path}, by which this clone knows its own runs: {error.strerror}",
                hint=f"make it readable for you: chmod u+r {shlex.quote(str(path))}",
            ) from error
        if len(key) != _KEY_SIZE:
            raise RepositoryError(
                f"{path}, by which this clone knows its own runs, is damaged: it has {len(key)} bytes, "
                f"not {_KEY_SIZE}",
                hint="put it back from a backup; or remove it, and `git runs trust` what you made before",
            )
        return key

    def _make_key(self) -> bytes | None:
        """Make the key, unless another process is faster: then that one is used. It appears whole and stays."""
        from gitflowrun.git.pack.writer import sync_directory  # once in the life of a clone

        path = self._key_file
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as out:  # noqa: PTH123  (a descriptor)
                out.write(secrets.token_bytes(_KEY_SIZE))
                out.flush()
                os.fsync(out.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
                sync_directory(path.parent)  # or a power cut could take the key of runs that stay
        except OSError:
            return None
        finally:
            temporary.unlink(missing_ok=True)
        self.__dict__.pop("_key", None)
        return self._key


def _mac(key: bytes, tree: Oid, parents: Sequence[Oid]) -> str:
    mac = hashlib.blake2b(key=key, digest_size=16, person=b"gitflowrun mac")
    mac.update(tree + b"".join(parents))
    return mac.hexdigest()


@frozen
class _Ancestry:
    """The runs that a run was made from, itself included, back to the first untrusted one.

    Attributes:
        trusted: Their uids.
        complete: Whether none is untrusted.
    """

    trusted: frozenset[Oid]
    complete: bool


class Provenance:
    """Where payloads come from, and whether they may be loaded. Keeps what it found: make another one to ask anew.

    Args:
        repo: The repository.
    """

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._trust = Trust(repo)
        self._ancestries: dict[Oid, _Ancestry] = {}

    def trusts_run(self, run: StoredRun) -> bool:
        """Whether the user trusts a run as it was read."""
        return self._trust.is_trusted(run.identity, commit=run.commit)

    def trusts_all(self, run: StoredRun) -> bool:
        """Whether the user trusts a run as it was read, and every run that it was made from."""
        return self._ancestry(run).complete

    def trusts_task(self, task: StoredTask) -> bool:
        """Whether a task was executed, and passed on, by runs that the user trusts alone."""
        ancestry = self._ancestry(task.run)
        if ancestry.complete:
            return True
        # A run that was made from another one has values of that one's among its own parameters.
        has_only_own = task.name.step != PARAMETERS_STEP
        return has_only_own and task.record.run.uid in ancestry.trusted

    def trusts_artifact(self, task: StoredTask, ref: ArtifactRef) -> bool:
        """Whether an artifact that a task lists may be loaded if loading it could run code."""
        if self._ancestry(task.run).complete:
            return True
        try:
            maker = task.run.task(ref.producer)
            return self.trusts_task(task) and self.trusts_task(maker) and not _is_framed(maker)
        except GitflowrunError:  # the maker or a parent of it is not there
            return False

    def find(self, run: RunIdentity) -> StoredRun | None:
        """A run that another one names, under whatever number it has here; None when it is not here."""
        try:
            return resolve(self._repo, str(run.uid), run.flow).run
        except GitflowrunError:
            return None

    def _ancestry(self, run: StoredRun) -> _Ancestry:
        if run.commit not in self._ancestries:
            self._ancestries[run.commit] = self._follow(run)
        return self._ancestries[run.commit]

    def _follow(self, run: StoredRun) -> _Ancestry:
        trusted: set[Oid] = set()
        holder: StoredRun | None = run
        while holder is not None and holder.identity.uid not in trusted and self.trusts_run(holder):
            trusted.add(holder.identity.uid)
            origin = holder.info.origin
            if origin is None:
                return _Ancestry(frozenset(trusted), complete=True)
            holder = self.find(origin.run)
        return _Ancestry(frozenset(trusted), complete=False)


def _is_framed(maker: StoredTask) -> bool:
    """Whether something that a task is said to have made was said so before it ran."""
    parents = (maker.run.task(name).record for name in maker.record.parents)
    return any(ref.producer == maker.name for it in parents for ref in it.artifacts.values())
