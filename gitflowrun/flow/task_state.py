"""The state of a flow object while a step runs: what it inherits and from where, what was loaded, what was said.

The flow object's own `__dict__` holds the attributes that the step set or loaded, and nothing else: everything of
ours is in one `TaskState` in a slot (`TaskHolder`), so that a user's attribute names and ours never meet. Inherited
artifacts come from `ArtifactSource`s, which are finished tasks; the caller that makes them decides how payloads are
read. A join sees its finished tasks as `Inputs`, a sequence of flow objects. No value is loaded before a step reads it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from functools import partial
from inspect import getattr_static
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from gitflowrun.errors import ClassChanged, FlowError
from gitflowrun.flow.foreach import item_at, items_artifact
from gitflowrun.limits import MAX_NUM_SPLITS
from gitflowrun.names import PayloadIdentity, TaskName, nearest
from gitflowrun.values import field, mutable

if TYPE_CHECKING:
    from typing_extensions import Never

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.runs.records import ForeachLevel, TaskRecord, Transition

_ItemsKey = tuple[str, PayloadIdentity, bool]
SMALL = frozenset({bool, complex, float, int, type(None)})
IMMUTABLE = SMALL | {bytes, str}
ABSENT = object()
"""Stands for an item that is not at hand."""

TASK_SLOT = "__gitflowrun_task__"


class TaskHolder:
    """The base of `FlowSpec`: objects with a slot for their TaskState, out of reach of what users call things.

    The slot is reached through this class's own descriptor: neither an attribute of the object nor one of a
    derived class, whatever its name, can hide it, and `self.__dict__` may be cleared.
    """

    __slots__ = ("__dict__", "__weakref__", TASK_SLOT)


_slot: Any = vars(TaskHolder)[TASK_SLOT]


@mutable
class ArtifactSource:
    """The artifacts of a finished task.

    Attributes:
        task: Which task.
        fetch_record: Fetches the task's record when it is first needed: a join may have thousands of inputs
            and look at none.
        load_value: Makes the value of the artifact with this name and reference, anew at each call.
        given: Values that somebody has put in the place of artifacts, by name: of a spun task.
        item_at_hand: Takes an artifact's reference and a position: that item, where it is known without loading
            all of them and can't be changed, or else `ABSENT`.
    """

    task: TaskName
    fetch_record: Callable[[], TaskRecord]
    load_value: Callable[[str, ArtifactRef], object]
    given: Mapping[str, Any] = field(default_factory=dict)
    item_at_hand: Callable[[ArtifactRef, int], object] = lambda _ref, _index: ABSENT
    _record: TaskRecord | None = None

    @property
    def record(self) -> TaskRecord:
        """The task's record."""
        if self._record is None:
            self._record = self.fetch_record()
        return self._record

    def names(self) -> Collection[str]:
        """The names of the task's artifacts, inherited ones included."""
        return self.record.artifacts.keys()

    def ref(self, name: str) -> ArtifactRef:
        """The reference of an artifact; KeyError when there is none of that name."""
        return self.record.artifacts[name]

    def load(self, name: str) -> object:
        """The value of an artifact; KeyError when there is none of that name."""
        return self.load_value(name, self.ref(name))


@mutable
class LoadedValues:
    """What the flow objects of one task, a join and its inputs, have loaded.

    Attributes:
        refs: The reference that a value was loaded from, by the value's `id()`.
        items: The items of foreach levels: a join over thousands of inputs loads them once.
        given: Of which of these a flow object has an item as it was loaded, which it may have changed.
        untouched: Of which no flow object has one: they get copies.
    """

    refs: dict[int, ArtifactRef] = field(default_factory=dict)
    items: dict[_ItemsKey, Any] = field(default_factory=dict)
    given: set[_ItemsKey] = field(default_factory=set)
    untouched: set[_ItemsKey] = field(default_factory=set)

    def item(self, key: _ItemsKey, index: int, load: Callable[[], Any]) -> Any:
        """An item of a foreach level. No two calls give one object, or two that share any part.

        Args:
            key: Of which items.
            index: The item's position.
            load: Loads the items.
        """
        if key not in self.items:
            self.items[key] = load()
        item = item_at(self.items[key], index)
        if type(item) in IMMUTABLE:
            return item
        if key not in self.given:
            self.given.add(key)  # most tasks look at one, and copy nothing
            return item
        if key not in self.untouched:
            self.items[key] = load()
            self.untouched.add(key)
        try:
            return copy.deepcopy(item_at(self.items[key], index))
        except Exception:  # noqa: BLE001  (its class may forbid it)
            return item_at(load(), index)


@mutable
class TaskState:
    """The state of one flow object.

    Attributes:
        step: The step it runs, or ran in the case of a join's input; None when it runs none.
        sources: Where inherited artifacts come from, in the order in which they are searched.
        parameters: Where parameters and constants come from.
        foreach_source: The task that has the items of the foreach levels: the parent, or a join's first input.
        frames: The foreach levels the step is in, outermost first.
        iterations: How often the step has run before in a loop; nothing outside of one.
        is_join: Whether the step takes inputs.
        max_num_splits: The most items a foreach may have.
        failure: How the attempt before this one has ended; empty in the first.
        loaded_values: What all flow objects of the task have loaded.
        transition: What `self.next` said; None until then.
        split_values: The items of a foreach as short texts, in order.
        loaded: Inherited artifacts by name, as they were loaded.
        merged: Where artifacts come from that `merge_artifacts` took over.
        deleted: The names of inherited artifacts that the step has deleted.
        computed: What cached properties have computed, by name.
        kept_items: The items of a foreach that its attribute can't keep, as `_foreach_items_<depth>`.
        is_rerouted: Whether a decorator, not the step, says what follows: by other attributes than the source may be.
    """

    step: str | None = None
    sources: tuple[ArtifactSource, ...] = ()
    parameters: ArtifactSource | None = None
    foreach_source: ArtifactSource | None = None
    frames: tuple[ForeachLevel, ...] = ()
    iterations: tuple[int, ...] = ()
    is_join: bool = False
    max_num_splits: int = MAX_NUM_SPLITS
    failure: str = ""
    loaded_values: LoadedValues = field(default_factory=LoadedValues)
    transition: Transition | None = None
    split_values: tuple[str, ...] = ()
    loaded: dict[str, Any] = field(default_factory=dict)
    merged: dict[str, ArtifactSource] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    computed: dict[str, Any] = field(default_factory=dict)
    kept_items: dict[str, list[Any]] = field(default_factory=dict)
    is_rerouted: bool = False
    _read_only: dict[str, Any] = field(default_factory=dict)
    _items: dict[int, Any] = field(default_factory=dict)
    _foreach_items: dict[str, ArtifactSource] | None = None

    def source_of(self, name: str) -> ArtifactSource | None:
        """The source that an inherited artifact is taken from; None when there is none of that name."""
        if name in self.deleted:
            return None
        if name in self.merged:
            return self.merged[name]
        for source in self.sources:
            if name in source.names():
                return source
        return self._items_in_joins().get(name)

    def names(self) -> Iterator[str]:
        """The names of all inherited artifacts."""
        inherited = (name for source in self.sources for name in source.names())
        for name in dict.fromkeys([*self.merged, *inherited, *self._items_in_joins()]):
            if name not in self.deleted:
                yield name

    def refs(self) -> dict[str, ArtifactRef]:
        """The reference of every inherited artifact."""
        return {name: source.ref(name) for name in self.names() if (source := self.source_of(name))}

    def load(self, name: str) -> Any:
        """Load an inherited artifact; the caller keeps it. KeyError when there is none of that name."""
        source = self.source_of(name)
        if source is None:
            raise KeyError(name)
        value = self.loaded[name] = self._load(source, name)
        return value

    def read_only(self, name: str, default: Any, seen: Callable[[Any], Any] | None = None) -> Any:
        """The value of a parameter, constant or config; `default` when the run's `_parameters` task has none.

        Args:
            name: Its attribute.
            default: What there is otherwise.
            seen: Makes of the stored value what steps see.
        """
        if name in self._read_only:
            return self._read_only[name]
        for source in (self.parameters, *self.sources):
            if source is not None and (name in source.given or name in source.names()):
                value = self._load(source, name)
                value = self._read_only[name] = value if seen is None else seen(value)
                return value
        return default

    def item(self, depth: int) -> Any:
        """The item that the foreach level `depth` gave to this task; of a gang, the number of the node."""
        frame = self.frames[depth]
        if frame.is_gang:
            return frame.index
        for given in (self.foreach_source, self.parameters):
            if given is not None and frame.var in given.given:
                return _given_item(given.given[frame.var], frame)
        if depth not in self._items:
            source, name = self._items_at(depth)
            ref = source.ref(name)
            item = source.item_at_hand(ref, frame.index)
            if item is not ABSENT:
                return item
            # By name, for secrets have one payload, whatever they are; a stranger's reference may name any value.
            key = name, ref.identity, ref.untrusted
            load = partial(self._load, source, name)
            self._items[depth] = self.loaded_values.item(key, frame.index, load)
        return self._items[depth]

    def item_refs(self) -> dict[int, ArtifactRef]:
        """The reference of each foreach level's items, by the level's depth. A gang has none."""
        places = {depth: self._items_at(depth) for depth in self._depths()}
        return {depth: source.ref(name) for depth, (source, name) in places.items()}

    def _depths(self) -> Iterator[int]:
        return (depth for depth, frame in enumerate(self.frames) if not frame.is_gang)

    def _items_at(self, depth: int) -> tuple[ArtifactSource, str]:
        for source in (self.foreach_source, self.parameters):
            for name in (items_artifact(depth), self.frames[depth].var):
                if source is not None and name in source.names():
                    return source, name
        raise FlowError(
            f"step {self.step!r} can't find the items of the foreach over {self.frames[depth].var!r}"
        )

    def _items_in_joins(self) -> dict[str, ArtifactSource]:
        """The only artifacts that a join inherits: the items of the foreach levels it is still in."""
        if self._foreach_items is None:
            places = [self._items_at(depth) for depth in self._depths()] if self.is_join else []
            self._foreach_items = {name: source for source, name in places}
        return self._foreach_items

    def _load(self, source: ArtifactSource, name: str) -> Any:
        if name in source.given:
            return source.given[name]
        try:
            value = source.load(name)
        except AttributeError as error:
            # Unpickling met a class that is gone. Left alone, `hasattr` would call the artifact absent.
            raise FlowError(
                f"artifact {name!r} of task {source.task} can't be loaded: {error}",
                hint="the code that made it defined a class or function that is not there any more",
            ) from error
        except ClassChanged as error:
            raise ClassChanged(
                f"artifact {name!r} of task {source.task} can't be loaded: {error.message}",
                hint=f"{error.hint}; or resume from the step that made it"
                if error.hint
                else "resume from the step that made it, or give the class back what it had",
            ) from error
        self.loaded_values.refs[id(value)] = source.ref(name)
        return value


def _given_item(items: Any, frame: ForeachLevel) -> Any:
    """The item of a task where somebody has replaced the items of its foreach."""
    try:
        return item_at(items, frame.index)
    except (TypeError, LookupError, StopIteration) as error:
        raise FlowError(
            f"what was given for {frame.var!r} has no item {frame.index}, which the task stands for: {error!r}",
            hint=f"{frame.var!r} had {frame.num_splits} items",
        ) from error


def state_of(flow: object) -> TaskState | None:
    """The state of a flow object; None when it has never run a step, and of any other object."""
    try:
        state: TaskState = _slot.__get__(flow)
    except (AttributeError, TypeError):
        return None
    return state


def set_state(flow: object, state: TaskState) -> TaskState:
    """Give a flow object its state, and return that."""
    _slot.__set__(flow, state)
    return state


def task_state(flow: object) -> TaskState:
    """The state of a flow object; an empty one, from now on, for one that runs no task (a unit test's)."""
    return state_of(flow) or set_state(flow, TaskState())


def give(flow: object, values: Mapping[str, Any]) -> None:
    """Let a flow object have values in the place of inherited artifacts.

    What the class allows steps to read alone, such as parameters, is read from the source that has the values.
    """
    vars(flow).update({it: value for it, value in values.items() if not is_fixed(flow, it)})


def is_fixed(flow: object, name: str) -> bool:
    """Whether an attribute is one that steps can read and nothing else: a parameter, a constant or a config."""
    return hasattr(type(getattr_static(type(flow), name, None)), "__set__")


def task_label(flow: object) -> str:
    """A flow object as Metaflow prints it: `<flow F step s[1] (input: x)>`."""
    state = state_of(flow)
    if state is None or state.step is None:
        return f"<flow {type(flow).__name__}>"
    where = f"<flow {type(flow).__name__} step {state.step}"
    if not state.frames:
        return f"{where}>"
    indices = ",".join(str(frame.index) for frame in state.frames)
    return f"{where}[{indices}] (input: {state.frames[-1].value[:20]})>"


@Sequence.register
class Inputs:
    """The inputs of a join: iterable, indexable, and by step name (`inputs.train`) after a static split.

    Those of a foreach come in the order of its items, and each is forgotten as soon as the step forgets it:
    a join may go through thousands of large ones and hold one at a time.

    A sequence without public methods (`index`, `count`): each public name may be that of a step.

    Args:
        flow_cls: The flow.
        sources: The finished tasks, in the order of the split.
        loaded_values: What the flow objects of the task have loaded.
        of_foreach: Whether the inputs are tasks of one foreach.
    """

    def __init__(
        self,
        flow_cls: Any,
        sources: Sequence[ArtifactSource],
        loaded_values: LoadedValues,
        *,
        of_foreach: bool,
    ) -> None:
        self._flow_cls = flow_cls
        self._sources = sources
        self._loaded_values = loaded_values
        self._flows: MutableMapping[int, Any] = WeakValueDictionary() if of_foreach else {}

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self._flow(position) for position in range(*index.indices(len(self)))]
        return self._flow(range(len(self))[index])

    def __iter__(self) -> Iterator[Any]:
        return (self._flow(position) for position in range(len(self)))

    def __getattr__(self, step: str) -> Any:
        if step.startswith("_"):
            raise AttributeError(step)
        for position in reversed(range(len(self))):  # of a foreach the last one, as with Metaflow
            if self._sources[position].task.step == step:
                return self._flow(position)
        close = nearest(step, self._steps()) or self._steps()
        raise AttributeError(
            f"this join has no input from a step {step!r}; it has {', '.join(close)}",
            name=step,
            obj=self,
        )

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._steps()})

    def __reduce_ex__(self, _protocol: object) -> Never:
        raise FlowError(
            "the inputs of a join can't be stored",
            hint="store the attributes you need: [inp.x for inp in inputs]",
        )

    def __repr__(self) -> str:
        return f"<inputs {', '.join(self._steps())}: {len(self)}>"

    def _steps(self) -> list[str]:
        return list(dict.fromkeys(source.task.step for source in self._sources))

    def _flow(self, position: int) -> Any:
        """The flow object of an input; the same one for as long as somebody holds it."""
        flow = self._flows.get(position)
        if flow is None:
            source = self._sources[position]
            flow = self._flow_cls.__new__(self._flow_cls)
            state = TaskState(
                source.task.step,
                sources=(source,),
                parameters=source,
                foreach_source=source,
                frames=source.record.frames,
                loaded_values=self._loaded_values,
            )
            set_state(flow, state)
            if source.given:
                give(flow, source.given)
            self._flows[position] = flow
        return flow
