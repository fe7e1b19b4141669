"""What `self.next(...)` does at run time: check the call against the graph, count a foreach, keep the result.

Every refusal is an InvalidNext with the user's file and line.

The items of a foreach: counting them, showing them, finding one again. Pure functions of values.

An item is what iteration yields. What can be iterated only once, or may come back from storage in another
order, is stored as a list: in place of the attribute itself when it is an iterator, as the private artifact
`_foreach_items_<depth>` otherwise.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import InvalidNext
from gitflowrun.flow.steps import is_step, steps_of
from gitflowrun.names import nearest
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from gitflowrun.runs.records import Transition

__all__ = [
    "MAX_VALUE_CHARS",
    "Chosen",
    "brief",
    "choose",
    "hidden_name",
    "is_hidden_name",
    "item_at",
    "needs_list",
    "single_use",
]


MAX_VALUE_CHARS = 30
_MAX_NESTING = 3


def hidden_name(depth: int) -> str:
    """The private artifact that holds the items of the foreach at `depth` where its attribute can't."""
    return f"_foreach_items_{depth}"


def is_hidden_name(name: str) -> bool:
    """Whether an artifact's name is one that `hidden_name` gives."""
    return name.startswith("_foreach_items_")


def single_use(value: object) -> bool:
    """Whether a value can't be stored as it is: an iterator, or a view of a dictionary."""
    return isinstance(value, (Iterator, KeysView, ValuesView, ItemsView))


def needs_list(value: object) -> bool:
    """Whether iteration and indexing of a value disagree, or its order may change in storage."""
    if isinstance(value, (Mapping, AbstractSet)) or hasattr(value, "iloc"):
        return True
    return not hasattr(value, "__getitem__")


def item_at(items: Any, index: int) -> Any:
    """The item at a position."""
    if isinstance(items, Sequence) or (hasattr(items, "__getitem__") and not needs_list(items)):
        return items[index]
    return next(islice(iter(items), index, None))


def brief(value: object) -> str:
    """A value as text of at most 30 characters, without rendering more of a large one than that."""
    try:
        text = str(_shortened(value, 0))
    except Exception:  # noqa: BLE001  (a user's __str__ may raise anything, and this is only a label)
        text = f"<{type(value).__name__}>"
    return text[:MAX_VALUE_CHARS]


def _shortened(value: Any, depth: int) -> Any:
    """A value whose text begins like that of `value`: containers and texts are cut, one item a character."""
    if type(value) in {str, bytes, bytearray}:
        return value[: MAX_VALUE_CHARS + 1]
    if type(value) not in {list, tuple, set, frozenset, dict} or depth > _MAX_NESTING:
        return value
    head: Iterable[Any] = islice(value, MAX_VALUE_CHARS + 1)
    if isinstance(value, dict):
        return {key: _shortened(value[key], depth + 1) for key in head}
    if isinstance(value, (list, tuple)):
        return type(value)([_shortened(item, depth + 1) for item in head])
    return type(value)(head)


@frozen
class Chosen:
    """A valid `self.next`: its targets and, for a foreach, the attribute and its items as short texts."""

    targets: tuple[str, ...]
    foreach: str | None = None
    split_values: tuple[str, ...] = ()


class _Call:
    """A call of `self.next` under examination."""

    def __init__(
        self, flow: object, step: str, written: Transition | None, where: tuple[str, int]
    ) -> None:
        self.flow = flow
        self.step = step
        self.written = written
        self.source, self.line = where

    def refuse(self, message: str, hint: str | None = None) -> InvalidNext:
        return InvalidNext(message, hint=hint, line=self.line, source=self.source)

    def name_of(self, target: object) -> str:
        function = getattr(target, "__func__", None)
        if function is None or getattr(target, "__self__", None) is not self.flow:
            raise self.refuse(
                f"step {self.step!r} passes {brief(target)!r} to self.next, which is no step of this flow",
                "pass steps as self.next(self.<step>)",
            )
        steps = steps_of(type(self.flow)).items()
        known = (name for name, step in steps if step is function)
        name = str(next(known, getattr(function, "name", function.__name__)))
        if not is_step(function):
            raise self.refuse(
                f"step {self.step!r} leads to {name!r}, which is no step",
                f"put @step in front of `def {name}`",
            )
        return name

    def check_graph(self, targets: tuple[str, ...], foreach: str | None) -> None:
        written = self.written
        if written is None:
            return
        if set(targets) != set(written.targets) or len(targets) != len(written.targets):
            raise self.refuse(
                f"step {self.step!r} leads to {_listed(targets)}, but its last statement says "
                f"{_listed(written.targets)}",
                "a step has one self.next, as its last statement",
            )
        if foreach != written.foreach:
            raise self.refuse(
                f"step {self.step!r} splits by foreach={foreach!r}, but its last statement says "
                f"foreach={written.foreach!r}"
            )

    def split(self, name: str, depth: int, limit: int) -> tuple[str, ...]:
        """Count the items of a foreach; see to it that its children can find them again."""
        items = self.items(name)
        texts = [brief(item) for item in islice(items, limit + 1)]
        if not texts:
            raise self.refuse(
                f"foreach over self.{name} in step {self.step!r} has no items",
                "a foreach needs at least one item",
            )
        if len(texts) > limit:
            raise self.refuse(
                f"foreach over self.{name} in step {self.step!r} has more than {limit} items",
                f"raise the maximum with --max-num-splits{_more(items)}",
            )
        if needs_list(items):
            setattr(self.flow, hidden_name(depth), list(items))
        return tuple(texts)

    def items(self, name: str) -> Any:
        flow = self.flow
        try:
            value = getattr(flow, name)
        except AttributeError:
            known = [key for key in dir(flow) if not key.startswith("_")]
            close = " or ".join(f"self.{key}" for key in nearest(name, known))
            raise self.refuse(
                f"foreach over self.{name} in step {self.step!r}: there is no such attribute",
                f"did you mean {close}?" if close else f"assign self.{name} before self.next",
            ) from None
        try:
            iter(value)
        except TypeError as error:
            raise self.refuse(
                f"foreach over self.{name} in step {self.step!r}: {error}",
                "a foreach iterates over a list, a string, a range or anything else that can be iterated",
            ) from None
        return value


def choose(
    flow: object,
    targets: tuple[Any, ...],
    options: dict[str, Any],
    *,
    step: str,
    written: Transition | None,
    depth: int,
    max_num_splits: int,
    where: tuple[str, int],
) -> Chosen:
    """Examine a call of `self.next`.

    Args:
        flow: The running flow.
        targets: The call's positional arguments.
        options: The call's keyword arguments.
        step: The step that calls.
        written: The `self.next` in the step's source; unchecked against it when None.
        depth: How many foreach levels the step is in.
        max_num_splits: The most items a foreach may have.
        where: The user's file and line.

    Raises:
        InvalidNext: the call breaks a rule.
    """
    call = _Call(flow, step, written, where)
    _check_form(call, targets, options)
    names = tuple(call.name_of(target) for target in targets)
    foreach = options.get("foreach")
    call.check_graph(names, foreach)
    if foreach is None:
        return Chosen(names)
    if single_use(getattr(flow, foreach, None)):
        setattr(flow, foreach, list(islice(getattr(flow, foreach), max_num_splits + 1)))
    return Chosen(names, foreach, call.split(foreach, depth, max_num_splits))


def _check_form(call: _Call, targets: tuple[Any, ...], options: dict[str, Any]) -> None:
    for name in options:
        if name in {"condition", "num_parallel"}:
            raise call.refuse(f"self.next(..., {name}=...) is not available in gitflowrun")
        if name != "foreach":
            raise call.refuse(
                f"self.next has no argument {name!r}", "it takes steps and foreach='name'"
            )
    if not targets:
        raise call.refuse(
            f"self.next in step {call.step!r} names no step", "write self.next(self.<step>)"
        )
    if "foreach" not in options:
        return
    if not isinstance(options["foreach"], str):
        raise call.refuse(
            f"foreach in step {call.step!r} is {type(options['foreach']).__name__}, not text",
            "pass the name of an attribute: foreach='items'",
        )
    if len(targets) != 1:
        raise call.refuse(
            f"foreach in step {call.step!r} leads to {len(targets)} steps, not to one"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"self.{name}" for name in names) or "nothing"


def _more(items: Any) -> str:
    return f" {len(items)}" if hasattr(items, "__len__") else ""
