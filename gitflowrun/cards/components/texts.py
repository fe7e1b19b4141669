"""Components of text: Markdown, errors and Python code."""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.components.component import CannotBeShown, UserComponent
from gitflowrun.printing import bounded_repr

if TYPE_CHECKING:
    from collections.abc import Callable


class Markdown(UserComponent):
    """Text in Markdown.

    Args:
        text: The text; indentation that all of its lines share is taken away.
    """

    REALTIME_UPDATABLE = True

    def __init__(self, text: str | None = None) -> None:
        self._text = _dedent(text)

    def update(self, text: str | None = None) -> None:
        """Show another text."""
        self._text = _dedent(text)

    def _content(self) -> dict[str, Any]:
        return {"type": "markdown", "source": self._text}


def _dedent(text: Any) -> str | None:
    if text is not None and not isinstance(text, str):
        msg = f"Markdown takes text, not {type(text).__name__}"
        raise TypeError(msg)
    return None if text is None else textwrap.dedent(text)


class Error(UserComponent):
    """An exception.

    Args:
        exception: The exception.
        title: What is above it.
    """

    def __init__(self, exception: Any, title: str | None = None) -> None:
        self._exception = exception
        self._title = title

    def _content(self) -> dict[str, Any]:
        text = bounded_repr(self._exception)
        return {"type": "log", "data": f"{self._title}\n\n{text}" if self._title else text}


class PythonCode(UserComponent):
    """Python code.

    Args:
        code_func: A function, class or module whose code is shown.
        code_string: The code, where there is no function.
    """

    def __init__(
        self, code_func: Callable[..., Any] | None = None, code_string: str | None = None
    ) -> None:
        self._code = code_string if code_func is None else inspect.getsource(code_func)

    def _content(self) -> dict[str, Any]:
        if self._code is None:
            raise CannotBeShown("PythonCode needs a function, `code_func`, or text, `code_string`")
        if not isinstance(self._code, str):
            raise CannotBeShown(f"the code is text, not {type(self._code).__name__}")
        return {"type": "pythonCode", "data": self._code}
