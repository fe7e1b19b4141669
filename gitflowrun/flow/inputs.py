"""The `inputs` of a join: the finished tasks it joins, each seen as a flow object. Nothing is loaded early."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from typing import TYPE_CHECKING, overload
from weakref import WeakValueDictionary

from gitflowrun.flow.members import STATE
from gitflowrun.flow.task_state import Shared, State
from gitflowrun.names import nearest

if TYPE_CHECKING:
    from gitflowrun.flow.flowspec import FlowSpec
    from gitflowrun.flow.sources import ArtifactSource

__all__ = ["Inputs"]


@Sequence.register
class Inputs:
    """The inputs of a join: iterable, indexable, and by step name (`inputs.train`) after a static split.

    Those of a foreach come in the order of its items, and each is forgotten as soon as the step forgets it:
    a join may go through thousands of large ones and hold one at a time.

    A sequence without methods: every public name is left to steps.
    """

    def __init__(
        self,
        flow_cls: type[FlowSpec],
        sources: Sequence[ArtifactSource],
        shared: Shared,
        *,
        of_foreach: bool,
    ) -> None:
        self._flow_cls = flow_cls
        self._sources = sources
        self._shared = shared
        self._views: MutableMapping[int, FlowSpec] = WeakValueDictionary() if of_foreach else {}

    def __len__(self) -> int:
        return len(self._sources)

    @overload
    def __getitem__(self, index: int) -> FlowSpec: ...
    @overload
    def __getitem__(self, index: slice) -> list[FlowSpec]: ...
    def __getitem__(self, index: int | slice) -> FlowSpec | list[FlowSpec]:
        if isinstance(index, slice):
            return [self._view(position) for position in range(*index.indices(len(self)))]
        return self._view(range(len(self))[index])

    def __iter__(self) -> Iterator[FlowSpec]:
        return (self._view(position) for position in range(len(self)))

    def __getattr__(self, step: str) -> FlowSpec:
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

    def _view(self, position: int) -> FlowSpec:
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
