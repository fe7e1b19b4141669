"""Decorators as texts, as `--with` takes them, and what a record has of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

import gitflowrun
from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.base import amount_of, plain_data
from gitflowrun.flow.decorators.spec import parse_spec
from gitflowrun.msgpack import RECORD, pack

if TYPE_CHECKING:
    pass


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("retry", {}),
        ("retry:", {}),
        ("retry:times=2", {"times": 2}),
        (
            " retry : times = 2 , minutes_between_retries=0",
            {"times": 2, "minutes_between_retries": 0},
        ),
        ('environment:vars={"A": "x,B=1", "C": [1]}', {"vars": {"A": "x,B=1", "C": [1]}}),
        ("catch:var=bad,print_exception=false", {"var": "bad", "print_exception": False}),
        ("catch:var=a,b,print_exception=true", {"var": "a,b", "print_exception": True}),
        ('catch:var="bad"', {"var": "bad"}),
    ],
)
def test_a_decorator_as_text(text: str, attributes: dict[str, Any]) -> None:
    """Values are JSON or text; commas within them are theirs."""
    made = parse_spec(text)
    assert made.attributes == {**made.defaults, **attributes}


def test_attributes_are_metaflows() -> None:
    """Their names, and what they are when nothing is given."""
    expected: dict[Any, dict[str, Any]] = {
        gitflowrun.retry: {"times": 3, "minutes_between_retries": 2},
        gitflowrun.catch: {"var": None, "print_exception": True},
        gitflowrun.timeout: {"seconds": 0, "minutes": 0, "hours": 0},
        gitflowrun.environment: {"vars": {}},
        gitflowrun.secrets: {"sources": [], "role": None, "allow_override": False},
        gitflowrun.resources: {"cpu": 1, "gpu": None, "disk": None, "memory": 4096, "shared_memory": None},
        gitflowrun.project: {"name": None, "branch": None, "production": False},
        gitflowrun.exit_hook: {"on_success": [], "on_error": [], "options": {}},
        gitflowrun.schedule: {"cron": None, "weekly": False, "daily": True, "hourly": False, "timezone": None},
        gitflowrun.trigger: {"event": None, "events": [], "options": {}},
        gitflowrun.trigger_on_finish: {"flow": None, "flows": [], "options": {}},
        gitflowrun.parallel: {},
        gitflowrun.pytorch_parallel: {"master_port": None},
        gitflowrun.card: {
            "type": "default", "options": {}, "scope": "task", "rank": None, "timeout": 45, "id": None,
            "save_errors": True, "customize": False, "refresh_interval": 5,
        },
    }  # fmt: skip
    assert {it: dict(it.kind.defaults) for it in expected} == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "describes no decorator"),
        ("a b", "describes no decorator"),
        (
            "retri",
            "there is no decorator 'retri' for steps\nhint: did you mean retry or secrets? there are batch, ",
        ),
        ("zzz", "there is no decorator 'zzz' for steps\nhint: there are batch, card, catch, "),
        ("retry:3", "'3' in 'retry:3' gives no attribute a value"),
        ("retry:times=1,3=", "has no attribute '3'"),
        ("project", "there is no decorator 'project' for steps"),
    ],
)
def test_a_text_that_is_no_decorator(text: str, said: str) -> None:
    """What is wrong is said."""
    with pytest.raises(DecoratorError, match=re.escape(said)):
        parse_spec(text)


def test_what_decorators_are_given_can_be_recorded() -> None:
    """Plain values as they are; what no record could hold is a short text, however large or deep it is."""
    plain = {"a": [1, 2.5, "x", None, True], "b": {"c": -(2**63) + 1}}
    assert plain_data(plain) == plain
    assert plain_data((len, {2**70}, float("inf"), {3: b"x"})) == [
        "len", ["1180591620717411303424"], "inf", {"3": "b'x'"},
    ]  # fmt: skip
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep, deep]
    deep.append(deep)
    pack(plain_data(deep))
    pack(plain_data({"n": 10**5_000, "many": list(range(10**6)), "maps": [{}] * 10**5}), RECORD)


def test_amounts() -> None:
    """Numbers and texts of numbers, neither negative nor without an end; nothing else."""
    assert [amount_of(it) for it in (3, 0.5, "2", 0)] == [3, 0.5, 2, 0]
    wrong: tuple[object, ...] = (-1, "x", None, True, float("nan"), float("inf"), 10**400, [], "")
    assert [amount_of(it) for it in wrong] == [None] * len(wrong)
