"""The components that a task has put on one card: a list in which those with an id are found by it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.components.component import MetaflowCardComponent, component_id
from gitflowrun.errors import ComponentOverwriteNotSupportedException
from gitflowrun.printing import bounded_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gitflowrun.cards.card_files import CardRequest

_SHOWN = 80  # characters of a value, in warnings


class AbsentComponent(MetaflowCardComponent):
    """What stands for a component that a card does not have: a step may update it, which changes nothing.

    Args:
        id: The id that was asked for.
        warn: Tells the user.
    """

    def __init__(self, id: str, warn: Callable[..., object]) -> None:  # noqa: A002
        self._asked = id
        self._warn = warn

    def update(self, *_args: Any, **_kwargs: Any) -> None:
        """Say that there is nothing to update."""
        self._warn(
            f"There is no component {self._asked!r} on this card, so it is not updated.",
            "@card-component",
        )

    def render(self) -> str:
        """Nothing."""
        return ""


class ComponentStore:
    """The components of a card, in the order in which they were appended.

    Args:
        card: The card.
        warn: Tells the user of a mistake.
    """

    def __init__(self, card: CardRequest, warn: Callable[..., object]) -> None:
        self._card = card
        self._warn = warn
        self._components: dict[str, Any] = {}

    def append(self, component: Any, id: str | None = None) -> None:  # noqa: A002  (Metaflow's name)
        """Add a component at the end.

        Args:
            component: The component.
            id: What it is found by.
        """
        if not isinstance(component, MetaflowCardComponent):
            shown = bounded_repr(component, _SHOWN)
            self._warn(
                f"{shown} is not shown: what is appended to a card is a component, such as Markdown or Artifact."
            )
            return
        name = component_id(component) if id is None else str(id)
        with suppress(AttributeError, TypeError):  # of a class that has its own ids
            component.component_id = name
        if self._components.get(name, component) is not component:
            self._warn(
                f"A second component {name!r} is not shown: this card has one of that id, "
                f"which current.card.components[{name!r}] is."
            )
            return
        self._components[name] = component

    def extend(self, components: Iterable[Any]) -> None:
        """Add several components at the end."""
        for component in components:
            self.append(component)

    def clear(self) -> None:
        """Take all components away."""
        self._components.clear()

    def keys(self) -> list[str]:
        """The ids, those included that were made."""
        return list(self._components)

    def values(self) -> list[Any]:
        """The components."""
        return list(self._components.values())

    def items(self) -> list[tuple[str, Any]]:
        """The ids with the components."""
        return list(self._components.items())

    def __getitem__(self, id: str) -> Any:  # noqa: A002
        """The component of an id; one that does nothing where there is none."""
        if not isinstance(id, str):
            msg = f"a component is found by its id, a text, not by {bounded_repr(id, _SHOWN)}"
            raise TypeError(msg)
        return self._components.get(id) or AbsentComponent(id, self._warn)

    def __setitem__(self, id: str, component: Any) -> None:  # noqa: A002
        """Add a component.

        Raises:
            ComponentOverwriteNotSupportedException: there is one of that id.
        """
        if id in self._components:
            raise ComponentOverwriteNotSupportedException(
                id,
                self._card.id,
                self._card.type,
                hint=f"update it: current.card.components[{id!r}].update(...)",
            )
        self.append(component, id=id)

    def __delitem__(self, id: str) -> None:  # noqa: A002
        """Take a component away."""
        self._components.pop(id, None)

    def __contains__(self, id: object) -> bool:  # noqa: A002
        return id in self._components

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())

    def __len__(self) -> int:
        return len(self._components)
