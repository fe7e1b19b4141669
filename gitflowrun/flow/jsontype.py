"""`JSONType`: the parameter type whose command-line form is JSON. Other types are Python's own."""

from __future__ import annotations

from typing import Any

__all__ = ["JSONType", "JSONTypeClass"]


class JSONTypeClass:
    """Turns JSON text into a value. Values that are not text pass unchanged, so defaults may be either."""

    name = "JSON"

    def convert(self, value: Any, param: object = None, ctx: object = None) -> Any:  # noqa: ARG002
        """The value that `value` says in JSON.

        Args:
            value: JSON text, or a value.
            param: Ignored; click's types take it.
            ctx: Likewise.

        Raises:
            ValueError: the text is no JSON.
        """
        if not isinstance(value, (str, bytes, bytearray)):
            return value
        import json

        try:
            return json.loads(value)
        except ValueError as error:
            msg = f"{value!r} is not valid JSON: {error}"
            raise ValueError(msg) from None

    def __repr__(self) -> str:
        return "JSON"


JSONType = JSONTypeClass()
