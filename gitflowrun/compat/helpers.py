"""Small functions and constants of Metaflow's that extension packages begin with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CONTROL_TASK_TAG = "control_task"
UBF_CONTROL = "ubf_control"
UBF_TASK = "ubf_task"
VERSION = "2.19.39"
"""The version of Metaflow whose names and words these are, which programs compare."""
INTERNAL_ARTIFACTS_SET = {
    "_control_mapper_tasks",
    "_control_task_is_mapper_zero",
    "_foreach_values",
    "_parallel_ubf_iter",
    "_unbounded_foreach",
}


def get_version(public: bool = False) -> str:  # noqa: ARG001  (Metaflow's argument)
    """The version of Metaflow whose language flows are written in."""
    return VERSION


def from_conf(
    name: str, default: Any = None, validate_fn: Callable[[str, Any], object] | None = None
) -> Any:
    """The value of `METAFLOW_<name>`, or its default, whose type it gets.

    Raises:
        ValueError: the variable is no such value, or `validate_fn` says so.
    """
    text = os.environ.get(f"METAFLOW_{name}")
    value = default if text is None else _converted(name, text, default)
    if validate_fn is not None:
        validate_fn(name, value)
    return value


def _converted(name: str, text: str, default: Any) -> Any:
    if isinstance(default, bool):
        return text.lower() not in {"", "0", "false", "no"}
    if isinstance(default, (int, float)):
        try:
            return type(default)(text)
        except ValueError:
            msg = f"METAFLOW_{name} is to be a number, and is {text!r}"
            raise ValueError(msg) from None
    if isinstance(default, (dict, list)):
        import json

        try:
            return json.loads(text)
        except ValueError:
            msg = f"METAFLOW_{name} is to be JSON, and is {text!r}"
            raise ValueError(msg) from None
    return text


def get_validate_choice_fn(choices: list[Any]) -> Callable[[str, Any], None]:
    """What `from_conf` checks a value with that is to be one of a few."""

    def check(name: str, value: Any) -> None:
        if value not in choices:
            msg = f"METAFLOW_{name} is to be one of {', '.join(map(str, choices))}, and is {value}"
            raise ValueError(msg)

    return check


def _local_multinode_control_task_step_func(
    _flow: Any, _env_to_use: Any, step_func: Callable[..., Any], _retry_count: int, *_: Any
) -> Any:
    """The step of a gang's first node, which starts the others in Metaflow; here they run as tasks already."""
    return step_func()
