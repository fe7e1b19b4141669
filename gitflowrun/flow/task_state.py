"""What stands behind a flow object while a step runs: its sources, what was loaded, what was said. No rules.

The flow object's own `__dict__` holds what the step set or loaded; this holds everything else, so that a
user's attribute names and ours never meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.errors import FlowError
from gitflowrun.flow.foreach import hidden_name, item_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitflowrun.flow.sources import ArtifactSource
    from gitflowrun.flow.transition import Chosen
    from gitflowrun.names import PayloadIdentity
    from gitflowrun.runs.records import ArtifactRef, ForeachFrame

__all__ = ["Shared", "State"]

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
