"""What `--executor` takes."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from gitflowrun.errors import ExecutorError, UsageError
from gitflowrun.runtime.executors.engines.engine_choice import check_executor, engine_of
from tests.helpers.engines import Ends


@pytest.mark.parametrize(
    "words",
    [
        "local",
        "dask",
        "dask:tcp://host:8786",
        "dask:host:8786",
        "ray",
        "ray:auto",
        " ray ",
        "a.b:make",
        "pools:Some.make",
    ],
)
def test_executors(words: str) -> None:
    """By name, with an address, by a function."""
    assert check_executor(words) == words.strip()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("", "use local, dask"),
        ("dsk", "did you mean dask?"),
        ("Ray", "did you mean ray?"),
        ("dask:", "use local, dask"),
        ("local:4", "use local, dask"),
        ("pools.py:make", "write pools:make"),
        ("make", "MODULE:FUNCTION"),
        ("a b:c", "MODULE:FUNCTION"),
    ],
)
def test_what_is_no_executor(words: str, hint: str) -> None:
    """What there is, and what was meant."""
    with pytest.raises(UsageError, match="is no executor") as caught:
        check_executor(words)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(("words", "name"), [("dask", "distributed"), ("ray:auto", "ray")])
def test_an_engine_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, words: str, name: str
) -> None:
    """The extra that brings it is named."""
    real = importlib.import_module

    def without(module: str, *args: Any) -> Any:
        if module == name:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        return real(module, *args)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ExecutorError, match=f"can't be used: No module named '{name}'") as caught:
        engine_of(words, Ends(), slots=1)
    assert caught.value.hint == f"pip install 'gitflowrun[{words.partition(':')[0]}]'"


def test_local_is_no_engine() -> None:
    """Who asks for one is told."""
    with pytest.raises(UsageError, match="local is no engine"):
        engine_of("local", Ends(), slots=1)
