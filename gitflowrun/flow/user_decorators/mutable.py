"""What the objects that mutators get have in common: looking at decorators, adding and removing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.base import Decorator
from gitflowrun.flow.decorators.spec import split_spec
from gitflowrun.flow.user_decorators.lookup import Wanted
from gitflowrun.flow.user_decorators.user_decorator import declared, full_name, short_name
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Spec = tuple[str, str, list[Any], dict[str, Any]]
"""A decorator: its name, its full name, its positional arguments, its keyword arguments or attributes."""


@frozen
class Mutation:
    """A call of a mutator.

    Attributes:
        flow_cls: The flow that it changes.
        is_early: Whether it is `pre_mutate`, and not `mutate`.
        inserted_by: The full name of the mutator, behind those of the mutators that have added it.
        statically_defined: Whether the mutator is.
    """

    flow_cls: type[Any]
    is_early: bool
    inserted_by: tuple[str, ...]
    statically_defined: bool

    def check_early(self, what: str) -> None:
        """See that what only `pre_mutate` may do is done there.

        Raises:
            DecoratorError: it is not.
        """
        if not self.is_early:
            raise DecoratorError(
                f"mutate can't {what}: options of the command line have been read",
                hint="do it in pre_mutate",
            )


class Mutable:
    """The base of `MutableStep` and `MutableFlow`.

    Attributes:
        IGNORE: Leave a decorator out where there is one of its kind.
        ERROR: Refuse it there.
        OVERRIDE: Put it in the place of that.
    """

    IGNORE: ClassVar[int] = 1
    ERROR: ClassVar[int] = 2
    OVERRIDE: ClassVar[int] = 3
    _mutation: Mutation

    @property
    def decorator_specs(self) -> Iterator[Spec]:
        """The decorators and mutators, each as name, full name, positional arguments and keyword arguments."""
        yield from map(spec_of, self._decorators())

    def has_decorator(self, name: str) -> bool:
        """Whether there is a decorator or mutator of this name, short or full."""
        return bool(self.get_decorator_specs(name))

    def get_decorator_specs(self, name: str) -> list[Spec]:
        """The decorators and mutators of this name, short or full."""
        return [it for it in self.decorator_specs if name in it[:2]]

    def add_decorator(
        self,
        deco_type: Any,
        deco_args: Sequence[Any] | None = None,
        deco_kwargs: Mapping[str, Any] | None = None,
        duplicates: int = IGNORE,
    ) -> Any:
        """Add a decorator or mutator.

        Args:
            deco_type: The decorator as it is written behind an @, its class, its name, or a text that describes it
                with its attributes: `retry:times=2`.
            deco_args: Its positional arguments.
            deco_kwargs: Its keyword arguments or attributes.
            duplicates: What to do where there is one of its kind: IGNORE, ERROR or OVERRIDE. Decorators that can be
                there more than once are added in any case.

        Returns:
            The decorator, or None where it was left out.

        Raises:
            DecoratorError: there is no such decorator, it takes no such arguments, or there is one already.
        """
        wanted = Wanted(deco_type, deco_args, deco_kwargs, of_flows=self._of_flows)
        self._check_addable(wanted)
        if duplicates not in {self.IGNORE, self.ERROR, self.OVERRIDE}:
            raise DecoratorError(
                f"duplicates is {duplicates!r}", hint="give IGNORE, ERROR or OVERRIDE"
            )
        same = [it for it in self._decorators() if type(it) is wanted.kind]
        mutation = self._mutation
        made = wanted.make(mutation.statically_defined, mutation.inserted_by)
        if same and not getattr(wanted.kind, "allow_multiple", False):
            if duplicates == self.IGNORE:
                return None
            if duplicates == self.ERROR:
                raise DecoratorError(
                    f"{self._named} has @{spec_of(made)[0]} already",
                    hint="pass duplicates=IGNORE or duplicates=OVERRIDE",
                )
            for it in same:
                self._remove(it)
        self._put(made)
        return made

    def remove_decorator(
        self,
        deco_name: str,
        deco_args: Sequence[Any] | None = None,
        deco_kwargs: Mapping[str, Any] | None = None,
    ) -> bool:
        """Remove all decorators of a name, short or full, or of these those with certain arguments.

        Args:
            deco_name: The name, or a text that describes a decorator with its attributes: `retry:times=2`.
            deco_args: The positional arguments that it was given; None for any.
            deco_kwargs: The keyword arguments that it was given, or all its attributes; None for any.

        Returns:
            Whether there was one.
        """
        name, attributes = split_spec(deco_name)
        kwargs = attributes or None if deco_kwargs is None else dict(deco_kwargs)
        args = None if deco_args is None else list(deco_args)
        found = [
            it for it in self._decorators() if name in spec_of(it)[:2] and _has(it, args, kwargs)
        ]
        for it in found:
            self._check_removable(it)
        for it in found:
            self._remove(it)
        return bool(found)

    # What steps and flows differ in

    _of_flows: ClassVar[bool] = False

    @property
    def _named(self) -> str:
        """What it is, for errors."""
        raise NotImplementedError

    def _decorators(self) -> Iterable[Any]:
        """All decorators and mutators."""
        raise NotImplementedError

    def _check_addable(self, wanted: Wanted) -> None:
        """Refuse what can't be added now."""

    def _check_removable(self, decorator: Any) -> None:
        """Refuse what can't be removed now."""

    def _put(self, decorator: Any) -> None:
        raise NotImplementedError

    def _remove(self, decorator: Any) -> None:
        raise NotImplementedError


def spec_of(decorator: Any) -> Spec:
    """A decorator or mutator as `decorator_specs` has it."""
    if isinstance(decorator, Decorator):
        kind = type(decorator)
        full = f"{kind.__module__}.{kind.__qualname__}"
        return decorator.name, full, [], dict(decorator.attributes)
    how = declared(decorator)
    return short_name(decorator), full_name(decorator), list(how.args), dict(how.kwargs)


def _has(decorator: Any, args: list[Any] | None, kwargs: dict[str, Any] | None) -> bool:
    """Whether it was given these arguments, or has all these attributes."""
    _, _, own_args, own_kwargs = spec_of(decorator)
    given = getattr(decorator, "_given", own_kwargs)
    return args in (None, own_args) and kwargs in (None, own_kwargs, given)
