"""What the client's objects have in common: address, namespace, tags, times, children. No object of its own.

An object is its address, its repository and the namespace it was made in; that is also all that is pickled.
The rest is read when it is asked for, so an unpickled object opens its repository at first use, in whatever
process and namespace that is.
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from gitflowrun.client.namespaces import get_namespace
from gitflowrun.client.repository import Source
from gitflowrun.errors import InvalidPathspec, MissingKey, NamespaceMismatch, NotFound
from gitflowrun.git.objects import Oid
from gitflowrun.names import Pathspec, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitflowrun.client.run import Run

__all__ = ["MAX_ATTEMPTS", "ClientObject", "Container", "RunPart", "local_time", "suggestion"]

MAX_ATTEMPTS = 6
_STATE_VERSION = 1
_FEW = 8


class ClientObject:
    """An object of the client API.

    Args:
        pathspec: Its address, such as `Flow/run/step/task`.
        attempt: Which try of a task; the last one when None. Tasks and artifacts only.

    Raises:
        InvalidPathspec: the address has the wrong number of components.
        NotFound: there is no such object; the hint has the nearest names.
        NamespaceMismatch: it exists, but not in the current namespace.
    """

    _depth: ClassVar[int]
    _has_attempts: ClassVar[bool] = False

    def __init__(
        self, pathspec: str, attempt: int | None = None, *, _namespace_check: bool = True
    ) -> None:
        source = Source.current()
        self._begin(self._parse(pathspec, source), source.spec, get_namespace(), attempt)
        self._checked = _namespace_check
        self._check_attempt()
        self._check_exists()
        if self._checked and not self.is_in_namespace():
            raise self._outside()

    def _begin(
        self,
        path: Pathspec,
        spec: str,
        namespace: str | None,
        attempt: int | None = None,
        uid: Oid | None = None,
    ) -> None:
        self._path = path
        self._spec = spec
        self._namespace = namespace
        self._attempt = attempt
        self._uid = uid
        self._checked = True

    def _relative(self, kind: type[_Object], path: Pathspec) -> _Object:
        """An object of the same repository and namespace; nobody looks whether it exists."""
        attempt = self._attempt if kind._has_attempts else None  # noqa: SLF001
        made = kind.__new__(kind)
        uid = self._uid if path.run is not None else None
        made._begin(path, self._spec, self._namespace, attempt, uid)  # noqa: SLF001
        made._checked = self._checked  # noqa: SLF001
        return made

    @classmethod
    def _parse(cls, pathspec: str, source: Source) -> Pathspec:  # noqa: ARG003  (runs look there)
        if not isinstance(pathspec, str):
            raise InvalidPathspec(f"{pathspec!r} is not a pathspec", hint="a pathspec is text")
        return Pathspec.parse(pathspec, depth=cls._depth)

    def _check_attempt(self) -> None:
        if self._attempt is None:
            return
        if not self._has_attempts:
            raise NotFound(
                f"{type(self).__name__} {self.pathspec} has no attempts",
                hint="only tasks and artifacts have",
            )
        if not (isinstance(self._attempt, int) and 0 <= self._attempt < MAX_ATTEMPTS):
            raise NotFound(
                f"{self.pathspec} has no attempt {self._attempt!r}",
                hint=f"attempts are numbered from 0 to {MAX_ATTEMPTS - 1}",
            )

    @abstractmethod
    def _check_exists(self) -> None:
        """Raise NotFound unless the object exists."""

    def _outside(self) -> NamespaceMismatch:
        return NamespaceMismatch(
            f"{self.pathspec} is not in the namespace {self._namespace!r}",
            hint="namespace(None) shows all runs",
        )

    @property
    def _source(self) -> Source:
        return Source.of(self._spec)

    @property
    def id(self) -> str:
        """The last component of its address."""
        return self._path.components[-1]

    @property
    def pathspec(self) -> str:
        """Its address."""
        return str(self._path)

    @property
    def path_components(self) -> list[str]:
        """The components of its address."""
        return list(self._path.components)

    @property
    def parent(self) -> ClientObject | None:
        """The object that contains it; None for a flow."""
        return None

    @property
    @abstractmethod
    def created_at(self) -> datetime:
        """When it came to be: local time, without a time zone, as Metaflow tells it."""

    @property
    def tags(self) -> frozenset[str]:
        """All tags of its run."""
        return self.user_tags | self.system_tags

    @property
    def user_tags(self) -> frozenset[str]:
        """The tags that people gave its run."""
        return frozenset()

    @property
    def system_tags(self) -> frozenset[str]:
        """The tags that say how its run was made."""
        return frozenset()

    @property
    def origin_pathspec(self) -> str | None:
        """The address of what it was resumed or cloned from; None when it was not."""
        return None

    @abstractmethod
    def is_in_namespace(self) -> bool:
        """Whether it belongs to the namespace it was made in."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, ClientObject)
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return self._spec, self._path, self._attempt

    def __str__(self) -> str:
        attempt = "" if self._attempt is None else f", attempt={self._attempt}"
        return f"{type(self).__name__}({self.pathspec!r}{attempt})"

    __repr__ = __str__

    def __getstate__(self) -> dict[str, Any]:
        return {
            "version": _STATE_VERSION,
            "pathspec": self.pathspec,
            "attempt": self._attempt,
            "metadata": self._spec,
            "namespace": self._namespace,
            "namespace_check": self._checked,
            "uid": self._run_uid(),
        }

    def _run_uid(self) -> str | None:
        """The identity of the run it belongs to."""
        return None

    def __setstate__(self, state: dict[str, Any]) -> None:
        uid = state["uid"]
        self._begin(
            Pathspec.parse(state["pathspec"], depth=self._depth),
            state["metadata"],
            state["namespace"],
            state["attempt"],
            uid and Oid.from_hex(uid),
        )
        self._checked = state["namespace_check"]


class RunPart(ClientObject):
    """An object within a run: it has the run's tags and is in a namespace when its run is."""

    @cached_property
    def _run(self) -> Run:
        from gitflowrun.client.run import Run

        return self._relative(Run, Pathspec(self._path.flow, self._path.run))

    def _part(self, kind: type[_Part], path: Pathspec) -> _Part:
        """Another object within the same run."""
        made = self._relative(kind, path)
        made._run = self._run  # noqa: SLF001  (so that they share what was read)
        return made

    def _run_uid(self) -> str:
        return self._run.uid

    @property
    def user_tags(self) -> frozenset[str]:
        """The tags that people gave the run, as they are now."""
        return self._run.user_tags

    @property
    def system_tags(self) -> frozenset[str]:
        """The tags that say how the run was made."""
        return self._run.system_tags

    def is_in_namespace(self) -> bool:
        """Whether the run belongs to the namespace the object was made in."""
        return self._run.is_in_namespace()


_Object = TypeVar("_Object", bound=ClientObject)
_Part = TypeVar("_Part", bound=RunPart)
_Child = TypeVar("_Child", bound=ClientObject)


class Container(ClientObject, Generic[_Child]):
    """An object that others are in: iterated newest first, indexed by id."""

    @abstractmethod
    def __iter__(self) -> Iterator[_Child]:
        """What is in it, newest first."""

    @abstractmethod
    def _child(self, name: str) -> _Child:
        """The child of that id. Raises NotFound."""

    def __getitem__(self, name: str | int) -> _Child:
        try:
            return self._child(str(name))
        except (NotFound, InvalidPathspec) as error:
            raise MissingKey(error.message, hint=error.hint) from None

    def __contains__(self, name: object) -> bool:
        try:
            self[str(name)]
        except KeyError:
            return False
        return True


def local_time(seconds: float) -> datetime:
    """A time as Metaflow's client tells it: local, without a time zone."""
    return datetime.fromtimestamp(seconds)  # noqa: DTZ006


def suggestion(name: str, candidates: list[str]) -> str | None:
    """The hint of a "no such" error: the nearest names, or all of them where they are few."""
    near = nearest(name, candidates)
    if near:
        return f"did you mean {' or '.join(near)}?"
    if not candidates:
        return None
    more = "" if len(candidates) <= _FEW else ", …"
    return f"there is {', '.join(candidates[:_FEW])}{more}"
