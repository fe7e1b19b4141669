"""What stands behind a flow object while a step runs: its sources, what was loaded, what was said. No rules.

The flow object's own `__dict__` holds what the step set or loaded; this holds everything else, so that a
user's attribute names and ours never meet.

Where a step's inherited artifacts come from: a finished task seen as names, refs and values.

The runtime hands such sources in; this room neither knows a repository nor reads one.

The `inputs` of a join: the finished tasks it joins, each seen as a flow object. Nothing is loaded early.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, overload
from weakref import WeakValueDictionary

from gitflowrun.errors import FlowError
from gitflowrun.flow.transition import hidden_name, item_at
from gitflowrun.names import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.flow.transition import Chosen
    from gitflowrun.names import PayloadIdentity, TaskName
    from gitflowrun.runs.records import ForeachFrame, TaskRecord

__all__ = ["ArtifactSource", "Inputs", "RecordSource", "Shared", "State", "state_of"]


STATE = "_state"
"""The attribute of a flow object that holds its `State`."""
_MISSING = object()


class Shared:
    """What all flow objects of one task have in common.

    Attributes:
        seen: Ids of values that were loaded, and the refs they came from.
        items: The items of foreach levels by their identity: a join over thousands of inputs loads them once.
    """

    __slots__ = ("items", "seen")

    def __init__(self) -> None:
        self.seen: dict[int, ArtifactRef] = {}
        self.items: dict[PayloadIdentity, Any] = {}


class State:
    """The state of one flow object.

    Args:
        step: The step it runs, or ran in the case of a join's input.
        sources: Where inherited artifacts come from, in the order in which they are asked.
        fixed: Where parameters and constants come from.
        ground: The task that knows the items of the foreach levels: the parent, or a join's first input.
        frames: The foreach levels the step is in, outermost first.
        is_join: Whether the step takes inputs.
        max_num_splits: The most items a foreach may have.
        shared: What all flow objects of a task, a join's inputs among them, have in common.
    """

    __slots__ = (
        "carried", "chosen", "fixed", "frames", "ground", "hidden", "is_join", "items", "loaded",
        "max_num_splits", "merged", "read", "shared", "sources", "step",
    )  # fmt: skip

    def __init__(
        self,
        step: str | None = None,
        *,
        sources: tuple[ArtifactSource, ...] = (),
        fixed: ArtifactSource | None = None,
        ground: ArtifactSource | None = None,
        frames: tuple[ForeachFrame, ...] = (),
        is_join: bool = False,
        max_num_splits: int = 100,
        shared: Shared | None = None,
    ) -> None:
        self.step = step
        self.sources = sources
        self.fixed = fixed
        self.ground = ground
        self.frames = frames
        self.is_join = is_join
        self.max_num_splits = max_num_splits
        self.shared = Shared() if shared is None else shared
        self.loaded: dict[str, Any] = {}
        self.read: dict[str, Any] = {}
        self.items: dict[int, Any] = {}
        self.merged: dict[str, ArtifactSource] = {}
        self.hidden: set[str] = set()
        self.chosen: Chosen | None = None
        self.carried: dict[str, ArtifactSource] | None = None

    def source_of(self, name: str) -> ArtifactSource | None:
        """The source that an inherited artifact is taken from; None when there is none of that name."""
        if name in self.hidden:
            return None
        if name in self.merged:
            return self.merged[name]
        for source in self.sources:
            if name in source.names():
                return source
        return self._carried().get(name)

    def names(self) -> Iterator[str]:
        """The names of all inherited artifacts."""
        inherited = (name for source in self.sources for name in source.names())
        for name in dict.fromkeys([*self.merged, *inherited, *self._carried()]):
            if name not in self.hidden:
                yield name

    def refs(self) -> dict[str, ArtifactRef]:
        """Every inherited artifact's ref."""
        refs: dict[str, ArtifactRef] = {}
        for name in self.names():
            source = self.source_of(name)
            assert source is not None
            refs[name] = source.ref(name)
        return refs

    def load(self, name: str) -> Any:
        """Load an inherited artifact; the caller keeps it. KeyError when there is none of that name."""
        source = self.source_of(name)
        if source is None:
            raise KeyError(name)
        value = self._load(source, name)
        self.loaded[name] = value
        return value

    def read_only(self, name: str, default: Any) -> Any:
        """The value of a parameter or constant; `default` when the run's `_parameters` task has none."""
        value = self.read.get(name, _MISSING)
        if value is not _MISSING:
            return value
        for source in (self.fixed, *self.sources):
            if source is not None and name in source.names():
                value = self.read[name] = self._load(source, name)
                return value
        return default

    def item(self, depth: int) -> Any:
        """The item that the foreach level `depth` gave to this task."""
        if depth not in self.items:
            source, name = self._items_at(depth)
            identity = source.ref(name).identity
            if identity not in self.shared.items:
                self.shared.items[identity] = self._load(source, name)
            items = self.shared.items[identity]
            self.items[depth] = item_at(items, self.frames[depth].index)
        return self.items[depth]

    def item_refs(self) -> list[ArtifactRef]:
        """The ref of each foreach level's items, outermost first."""
        places = [self._items_at(depth) for depth in range(len(self.frames))]
        return [source.ref(name) for source, name in places]

    def _items_at(self, depth: int) -> tuple[ArtifactSource, str]:
        for source in (self.ground, self.fixed):
            for name in (hidden_name(depth), self.frames[depth].var):
                if source is not None and name in source.names():
                    return source, name
        raise FlowError(
            f"step {self.step!r} can't find the items of the foreach over {self.frames[depth].var!r}"
        )

    def _carried(self) -> dict[str, ArtifactSource]:
        """What a join inside of a foreach inherits nevertheless: the items of the levels it is still in."""
        if self.carried is None:
            places = [self._items_at(depth) for depth in range(len(self.frames) * self.is_join)]
            self.carried = {name: source for source, name in places}
        return self.carried

    def _load(self, source: ArtifactSource, name: str) -> Any:
        try:
            value = source.load(name)
        except AttributeError as error:
            # Unpickling met a class that is gone. Left alone, `hasattr` would call the artifact absent.
            raise FlowError(
                f"artifact {name!r} of task {source.task} can't be loaded: {error}",
                hint="the code that made it defined a class or function that is not there any more",
            ) from error
        self.shared.seen[id(value)] = source.ref(name)
        return value


def state_of(flow: object) -> State | None:
    """The state behind a flow object; None when it runs no task."""
    return vars(flow).get(STATE)


class ArtifactSource(Protocol):
    """A finished task's artifacts. Nothing is loaded before `load` is called."""

    @property
    def task(self) -> TaskName:
        """Which task."""

    @property
    def frames(self) -> tuple[ForeachFrame, ...]:
        """The foreach levels the task was in, outermost first."""

    def names(self) -> Collection[str]:
        """The names of its artifacts, inherited ones included. Membership must be cheap."""

    def ref(self, name: str) -> ArtifactRef:
        """Where an artifact's payload lies; KeyError when there is none of that name."""

    def load(self, name: str) -> object:
        """The value of an artifact, decoded anew at each call; KeyError when there is none."""


class RecordSource:
    """The artifacts of a task record, whose payloads `load` fetches.

    Args:
        record: The task's record, or a function that fetches it when it is first needed (a join may have
            thousands of inputs and look at none).
        load: Turns an artifact's name and ref into its value.
        task: The task's name; needed when `record` is a function.
        frames: The task's foreach levels; likewise.
    """

    __slots__ = ("_frames", "_load", "_record", "_task")

    def __init__(
        self,
        record: TaskRecord | Callable[[], TaskRecord],
        load: Callable[[str, ArtifactRef], object],
        *,
        task: TaskName | None = None,
        frames: tuple[ForeachFrame, ...] | None = None,
    ) -> None:
        self._record = record
        self._load = load
        self._task = task
        self._frames = frames

    @property
    def record(self) -> TaskRecord:
        """The task's record."""
        if callable(self._record):
            self._record = self._record()
        return self._record

    @property
    def task(self) -> TaskName:
        """Which task."""
        return self._task if self._task is not None else self.record.name

    @property
    def frames(self) -> tuple[ForeachFrame, ...]:
        """The foreach levels the task was in, outermost first."""
        return self._frames if self._frames is not None else self.record.frames

    def names(self) -> Collection[str]:
        """The names of its artifacts, inherited ones included."""
        return self.record.artifacts.keys()

    def ref(self, name: str) -> ArtifactRef:
        """Where an artifact's payload lies."""
        return self.record.artifacts[name]

    def load(self, name: str) -> object:
        """The value of an artifact, decoded anew at each call."""
        return self._load(name, self.record.artifacts[name])


@Sequence.register
class Inputs:
    """The inputs of a join: iterable, indexable, and by step name (`inputs.train`) after a static split.

    Those of a foreach come in the order of its items, and each is forgotten as soon as the step forgets it:
    a join may go through thousands of large ones and hold one at a time.

    A sequence without methods: every public name is left to steps.
    """

    def __init__(
        self,
        flow_cls: Any,
        sources: Sequence[ArtifactSource],
        shared: Shared,
        *,
        of_foreach: bool,
    ) -> None:
        self._flow_cls = flow_cls
        self._sources = sources
        self._shared = shared
        self._views: MutableMapping[int, Any] = WeakValueDictionary() if of_foreach else {}

    def __len__(self) -> int:
        return len(self._sources)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self._view(position) for position in range(*index.indices(len(self)))]
        return self._view(range(len(self))[index])

    def __iter__(self) -> Iterator[Any]:
        return (self._view(position) for position in range(len(self)))

    def __getattr__(self, step: str) -> Any:
        if step.startswith("_"):
            raise AttributeError(step)
        for position, source in enumerate(self._sources):
            if source.task.step == step:
                return self._view(position)
        steps = list(dict.fromkeys(source.task.step for source in self._sources))
        close = nearest(step, steps) or steps
        raise AttributeError(
            f"this join has no input from a step {step!r}; it has {', '.join(close)}",
            name=step,
            obj=self,
        )

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(source.task.step for source in self._sources)})

    def __repr__(self) -> str:
        return (
            f"<inputs {', '.join(dict.fromkeys(s.task.step for s in self._sources))}: {len(self)}>"
        )

    def _view(self, position: int) -> Any:
        view = self._views.get(position)
        if view is None:
            source = self._sources[position]
            view = self._flow_cls.__new__(self._flow_cls)
            vars(view)[STATE] = State(
                source.task.step,
                sources=(source,),
                fixed=source,
                ground=source,
                frames=source.frames,
                shared=self._shared,
            )
            self._views[position] = view
        return view
