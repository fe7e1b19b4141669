"""The repository that client objects read, and the parts of it that are open.

The repository is the one that the current directory lies in, as for any git command, until `metadata` names
another; in a task, and in programs that it starts, that of its run (GITFLOWRUN_METADATA). Objects remember theirs by
its spec, `local@/path`, which is also all they take along when pickled.

A process also has a namespace, the tag that runs must have for the client to see them. A fresh process sees every run
of the repository (`Settings.namespace_of` says why). Whoever prefers Metaflow's start sets it once: `git config
runs.namespace user`, GITFLOWRUN_NAMESPACE=user, or `default_namespace()`. Apart from that it is as in Metaflow:
objects keep the namespace they were made in, and `namespace(None)` is global.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError, UsageError
from gitflowrun.git.repository import Repository, current_directory
from gitflowrun.names import check_tag
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.tags import Tags
from gitflowrun.settings import Settings, user_name

if TYPE_CHECKING:
    from gitflowrun.artifacts.artifacts import ArtifactReader
    from gitflowrun.runs.trust import Trust

_LOCAL = "local"
_SPIN = "spin@"

_chosen: list[str] = []
_open: dict[object, Source] = {}


class Source:
    """A repository that is open for reading, shared by all objects that read it.

    Attributes:
        repo: The repository.
        spec: `local@`, or `spin@` where spun tasks take the place of runs in lists, and its work tree, or its git
            directory when it is bare.
        tag_changes: How often a tag was changed through this object.
        looks_live: Whether the tasks that a running run has not finished are seen.
    """

    def __init__(self, repo: Repository, *, lists_spins: bool = False) -> None:
        self.repo = repo
        self.looks_live = True
        self._lists_spins = lists_spins
        self.spec = f"{_SPIN if lists_spins else f'{_LOCAL}@'}{repo.work_tree or repo.git_dir}"
        self.tag_changes = 0

    @classmethod
    def current(cls) -> Source:
        """The repository that new objects read.

        Raises:
            NotARepository: there is none here, and none was chosen.
            RepositoryError: it can't be used.
        """
        if _chosen:
            return cls.at(_chosen[0])
        of_run = os.environ.get("GITFLOWRUN_METADATA")
        if of_run:
            return cls.at(of_run)
        # All that decides which repository git finds from here.
        place = (
            str(current_directory()),
            *(os.environ.get(name) for name in ("GIT_DIR", "GIT_WORK_TREE")),
        )
        return _open.get(place) or cls._remember(place, Repository.discover())

    @classmethod
    def at(cls, spec: str) -> Source:
        """The repository that `local@/path`, or `spin@/path`, names. Raises as `current` does."""
        if spec in _open:
            return _open[spec]
        spins = spec.startswith(_SPIN)
        return cls._remember(spec, Repository.discover(_path(spec)), lists_spins=spins)

    @classmethod
    def use(cls, spec: str, repo: Repository) -> Source:
        """Let a spec name a repository that is open already, and what is published in it alone be seen.

        For a process that reads one task of very many: neither git is asked where the repository is, nor what of its
        run is not finished.
        """
        source = cls._remember(spec, repo)
        source.looks_live = False
        return source

    @classmethod
    def of(cls, spec: str) -> Source:
        """The repository of an object that names it so; one from elsewhere reads the current repository.

        A run that was kept as an artifact is read in clones, where its path means nothing; its uid does.
        """
        # Asked for each artifact that is read: without a Path object.
        there = os.path.exists(spec.removeprefix(f"{_LOCAL}@").removeprefix(_SPIN))  # noqa: PTH110
        return cls.at(spec) if there else cls.current()

    @classmethod
    def _remember(cls, key: object, repo: Repository, *, lists_spins: bool = False) -> Source:
        source = cls(repo, lists_spins=lists_spins)
        # The same repository from two places is one source, with one set of open packs.
        _open[key] = _open.setdefault(source.spec, source)
        return _open[key]

    @cached_property
    def runs(self) -> RunStore:
        """The runs; in lists, spun tasks in their place if that was asked for."""
        if self._lists_spins:
            from gitflowrun.runs.spins.store import SpinStore  # few programs inspect them

            return SpinStore(self.repo)
        return RunStore(self.repo)

    @cached_property
    def tags(self) -> Tags:
        """Their tags."""
        return Tags(self.repo)

    @cached_property
    def trust(self) -> Trust:
        """Whose values may be loaded."""
        from gitflowrun.runs.trust import Trust

        return Trust(self.repo)

    @cached_property
    def artifacts(self) -> ArtifactReader:
        """The artifacts."""
        from gitflowrun.artifacts.artifacts import ArtifactReader

        return ArtifactReader(self.repo.objects, self.spec)


def metadata(spec: str | os.PathLike[str]) -> str:
    """Read runs from another repository.

    Args:
        spec: Its path, or `local@` and its path; with `spin@`, as `inspect_spin`.

    Returns:
        The repository now in use, as `get_metadata` returns it.

    Raises:
        NotARepository: there is none at that path.
        UsageError: it is the address of a metadata service, or no path.
    """
    if isinstance(spec, os.PathLike):
        spec = os.fspath(spec)
    if not isinstance(spec, str):
        raise UsageError(
            f"{spec!r} is {type(spec).__name__}, not the path of a repository",
            hint="`default_metadata()` goes back to the repository of the current directory",
        )
    if "://" in spec or spec.partition("@")[0] == "service":
        raise UsageError(
            f"{spec!r} is no repository on this machine",
            hint="`git runs fetch` brings a remote's runs into a clone; give the clone's path",
        )
    if spec.removeprefix(f"{_LOCAL}@") in {"", _LOCAL}:
        return default_metadata()
    spins = spec.startswith(_SPIN)
    chosen = Source(Repository.discover(_path(spec)), lists_spins=spins).spec
    _chosen[:] = [chosen]
    return chosen


def inspect_spin(datastore_root: str | os.PathLike[str] = ".") -> None:
    """Let `Flow`, `Metaflow` and their like list what was spun in a repository, until another one is chosen.

    Addresses such as `Task("MyFlow/spin-3/train/4")` need no switch.

    Args:
        datastore_root: Where the repository is, in Metaflow's word.

    Raises:
        NotARepository: there is none at that path.
    """
    metadata(f"{_SPIN}{os.fspath(datastore_root)}")


def get_metadata() -> str:
    """The repository that new objects read, as `local@/path`, or `spin@/path` after `inspect_spin`.

    Raises:
        NotARepository: there is none here, and none was chosen.
    """
    return Source.current().spec


def default_metadata() -> str:
    """Read runs from the repository of the current directory again, and return it. Raises as `get_metadata`."""
    _chosen.clear()
    return get_metadata()


def _path(spec: str) -> Path:
    return Path(spec.removeprefix(f"{_LOCAL}@").removeprefix(_SPIN) or ".")


# A task is a fork of the process that imported the flow. Open packs of that process, with their locks and
# file positions, are not for its children.
os.register_at_fork(after_in_child=_open.clear)


_namespace: list[str | None] = []


def namespace(ns: str | None) -> str | None:
    """Switch to another namespace.

    Args:
        ns: The tag that runs must have to be seen; None for all runs.

    Returns:
        The namespace now in use.

    Raises:
        TaggingError: no tag can be named so.
    """
    _namespace[:] = [None if ns is None else check_tag(ns)]
    return _namespace[0]


def get_namespace() -> str | None:
    """The namespace in use; None when all runs are seen."""
    if _namespace:
        return _namespace[0]
    settings = _settings()
    return settings.namespace_of(user_name(settings, os.environ))


def default_namespace() -> str:
    """Switch to the namespace of the current user, `user:<name>`, and return it."""
    own = f"user:{user_name(_settings(), os.environ)}"
    _namespace[:] = [own]
    return own


def _settings() -> Settings:
    try:
        return Source.current().repo.settings
    except RepositoryError:  # reading a run will raise it again, with a hint
        return Settings.parse({}, os.environ)
