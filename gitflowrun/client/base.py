"""The base classes of the client's objects: address, namespace, tags, parent and children.

An object is its address, its repository and the namespace it was made in; that is also all that is pickled.
The rest is read when it is asked for, so an unpickled object opens its repository at first use, in whatever
process and namespace that is. One that is kept as an artifact belongs to the repository that it is loaded from, for
its run goes from clone to clone: there it is found by its uid, and has the address that the run has there.

A class names the number of components of its addresses and is found by it, so that an object can make its
parent and its children without importing their classes.
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from gitflowrun.artifacts.place import is_stored, loaded_from
from gitflowrun.client.repository import Source, get_namespace
from gitflowrun.client.run_reader import RunReader, TaskReader
from gitflowrun.errors import (
    GitflowrunError,
    InvalidPathspec,
    MissingKey,
    NamespaceMismatch,
    NotFound,
)
from gitflowrun.git.objects import Oid
from gitflowrun.names import Pathspec, TaskName, any_id
from gitflowrun.values import frozen, lazy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_STATE_VERSION = 1
_TASK_DEPTH = 4

_CLASSES: dict[int, type[ClientObject]] = {}


@frozen
class Scope:
    """What an object and all those made from it have in common.

    Attributes:
        spec: The repository, `local@/path`.
        namespace: The namespace in use when the first of them was made; None for all runs.
        checked: Whether runs outside of that namespace are hidden.
    """

    spec: str
    namespace: str | None
    checked: bool = True

    def to_state(self) -> dict[str, Any]:
        """What is pickled of it. A path of this machine means nothing where an artifact may get to."""
        spec = None if is_stored() else self.spec
        return {"metadata": spec, "namespace": self.namespace, "namespace_check": self.checked}

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Scope:
        """The scope of what is being unpickled."""
        spec = loaded_from.get() or state["metadata"] or Source.current().spec
        return cls(spec, state["namespace"], state["namespace_check"])


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
    _path: Pathspec
    _scope: Scope
    _attempt: int | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "_depth" in vars(cls):
            _CLASSES[cls._depth] = cls

    def __init__(
        self, pathspec: str, attempt: int | None = None, *, _namespace_check: bool = True
    ) -> None:
        source = Source.current()
        self._path = self._parse(pathspec, source)
        self._scope = Scope(source.spec, get_namespace(), _namespace_check)
        self._attempt = attempt
        self._check_attempt()
        self._check_visible()

    @classmethod
    def _parse(cls, pathspec: str, source: Source) -> Pathspec:  # noqa: ARG003  (runs look there)
        if not isinstance(pathspec, str):
            raise InvalidPathspec(f"{pathspec!r} is not a pathspec", hint="a pathspec is text")
        return Pathspec.parse(pathspec, depth=cls._depth)

    def _check_attempt(self) -> None:
        if self._attempt is not None and self._depth < _TASK_DEPTH:
            raise NotFound(
                f"{type(self).__name__} {self.pathspec} has no attempts",
                hint="only tasks and artifacts have",
            )

    def _check_visible(self) -> None:
        """Raise NotFound unless it exists, and NamespaceMismatch unless it is in the namespace."""
        self._check_exists()
        if self._scope.checked and not self.is_in_namespace():
            raise NamespaceMismatch(
                f"{self.pathspec} is not in the namespace {self._scope.namespace!r}",
                hint="namespace(None) shows all runs",
            )

    @abstractmethod
    def _check_exists(self) -> None:
        """Raise NotFound unless the object exists."""

    def _at(self, *components: str, **known: Any) -> Any:
        """The object at another address of the same repository and namespace, which need not exist."""
        path = Pathspec(*components)
        return make(path, self._scope, **self._shared(path), **known)

    def _shared(self, path: Pathspec) -> dict[str, Any]:  # noqa: ARG002  (nothing is, by itself)
        """What has been read and also belongs to the object at `path`."""
        return {}

    @property
    def _source(self) -> Source:
        return Source.of(self._scope.spec)

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
    def parent(self) -> Any:
        """The object that contains it: of an artifact its `Task`, and so on; None for a flow."""
        above = self._path.components[:-1]
        return self._at(*above) if above else None

    @property
    @abstractmethod
    def created_at(self) -> datetime:
        """When it was created: local time, without a time zone, as in Metaflow."""

    @property
    def tags(self) -> frozenset[str]:
        """All tags of its run."""
        return self.user_tags | self.system_tags

    @property
    def user_tags(self) -> frozenset[str]:
        """The tags that people gave its run, as they are now."""
        return frozenset()

    @property
    def system_tags(self) -> frozenset[str]:
        """The tags that say how its run was made: `user:`, `python_version:` and the like."""
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
        return self._scope.spec, self._path, self._attempt

    def __str__(self) -> str:
        attempt = "" if self._attempt is None else f", attempt={self._attempt}"
        return f"{type(self).__name__}({self.pathspec!r}{attempt})"

    __repr__ = __str__

    def __getstate__(self) -> dict[str, Any]:
        return {
            "version": _STATE_VERSION,
            "pathspec": self.pathspec,
            "attempt": self._attempt,
            **self._scope.to_state(),
            "uid": None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._pickled(Pathspec.parse(state["pathspec"], depth=self._depth), state["uid"])
        self._scope = Scope.of_state(state)
        self._attempt = state["attempt"]

    def _pickled(self, path: Pathspec, uid: str | None) -> None:  # noqa: ARG002  (of runs)
        """Take the address and the uid of what is being unpickled."""
        self._path = path


class RunPart(ClientObject):
    """A run or an object within one: it has the run's tags and is in a namespace when the run is."""

    _uid: Oid | None = None
    _path_then: Pathspec
    """Of an unpickled object: its address where it was pickled."""

    @lazy
    def _path(self) -> Pathspec:
        """Its address; of an unpickled object the one that it has here."""
        flow, _, *part = self._path_then.components
        return Pathspec(flow, self._run.now().id, *part)

    @lazy
    def _run(self) -> RunReader:
        path = self._path if self._uid is None else self._path_then
        return RunReader(self._scope.spec, path.flow, any_id(path.run or ""), uid=self._uid)

    def _shared(self, path: Pathspec) -> dict[str, Any]:
        return {} if path.run is None else {"_run": self._run}

    def __getstate__(self) -> dict[str, Any]:
        # In a clone the run may have another id; its uid is the same, and so is the id that it was made with.
        run = self._run.now()
        state = {**super().__getstate__(), "uid": str(run.identity.uid)}
        if is_stored():
            flow, _, *part = self._path.components
            state["pathspec"] = str(Pathspec(flow, run.info.id or run.id, *part))
        return state

    def _pickled(self, path: Pathspec, uid: str | None) -> None:
        self._path_then = path
        self._uid = Oid.from_hex(uid or "")

    def __str__(self) -> str:
        try:
            return super().__str__()
        except GitflowrunError:  # a print of something else is not to fail for it
            return f"<{type(self).__name__} of run {self._uid}, which is not here>"

    __repr__ = __str__

    @property
    def user_tags(self) -> frozenset[str]:
        """The tags that people gave the run, as they are now."""
        return self._run.user_tags

    @property
    def system_tags(self) -> frozenset[str]:
        """The tags that say how the run was made: `user:`, `python_version:` and the like."""
        return self._run.system_tags

    def is_in_namespace(self) -> bool:
        """Whether the run has the tag that is the namespace the object was made in."""
        return self._scope.namespace is None or self._run.has_tag(self._scope.namespace)


class TaskPart(RunPart):
    """A task or one of its artifacts: both are seen as one attempt of the task left them."""

    @lazy
    def _task(self) -> TaskReader:
        step, task = self._path.step, self._path.task
        assert step is not None
        assert task is not None
        return TaskReader(self._run, TaskName(step, task), self._attempt)

    def _shared(self, path: Pathspec) -> dict[str, Any]:
        own = self._path
        if (path.task, path.step, path.run, path.flow) != (own.task, own.step, own.run, own.flow):
            return super()._shared(path)
        return {"_run": self._run, "_task": self._task, "_attempt": self._attempt}

    def _check_exists(self) -> None:
        self._task.check_attempt()


_Child = TypeVar("_Child", bound=ClientObject)


class _OutsideKey(NamespaceMismatch, MissingKey):
    """`parent[id]` is there, and not in the namespace: a mismatch as in Metaflow, and a KeyError all the same."""


class Index(Generic[_Child]):
    """What is in an object, found by its id: `parent[id]`, `id in parent`."""

    @abstractmethod
    def _child(self, name: str) -> _Child:
        """The child of that id. Raises NotFound."""

    def __getitem__(self, name: str | int) -> _Child:
        try:
            return self._child(str(name))
        except (NotFound, InvalidPathspec) as error:
            kind = _OutsideKey if isinstance(error, NamespaceMismatch) else MissingKey
            raise kind(error.message, hint=error.hint) from None

    def __contains__(self, name: object) -> bool:
        try:
            self[str(name)]
        except KeyError:
            return False
        return True


class Container(ClientObject, Index[_Child]):
    """An object that others are in: iterated newest first, indexed by id."""

    @abstractmethod
    def __iter__(self) -> Iterator[_Child]:
        """What is in it, newest first."""

    def _children(self, names: Iterable[str]) -> Iterator[_Child]:
        """The objects of these ids in it, which need not exist; what all of them share is found once."""
        own, scope = self._path.components, self._scope
        shared = self._shared(Pathspec(*[*own, ""]))
        return (make(Pathspec(*[*own, name]), scope, **shared) for name in names)

    def _child(self, name: str) -> _Child:
        child: _Child = self._at(*self._path.components, name)
        child._check_exists()  # noqa: SLF001  (of a class of this module)
        return child


def make(path: Pathspec, scope: Scope, **known: Any) -> Any:
    """The object at an address; nothing is looked up.

    Args:
        path: The address; its depth decides which class it is of.
        scope: Repository and namespace.
        known: Attributes that another object has read already.
    """
    kind = _CLASSES[len(path.components)]
    made = kind.__new__(kind)
    vars(made).update(known, _path=path, _scope=scope)
    return made


def run_at(pathspec: str) -> Any:
    """The run at `FLOW/RUN`, in whatever namespace. Raises NotFound."""
    return _CLASSES[2](pathspec, _namespace_check=False)


def local_time(seconds: float) -> datetime:
    """A time as Metaflow's client gives it: local, without a time zone."""
    return datetime.fromtimestamp(seconds)  # noqa: DTZ006
