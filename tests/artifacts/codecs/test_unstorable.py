"""The message for a value that can't be stored says which part of it can't."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from gitflowrun.artifacts.codecs import encode
from gitflowrun.artifacts.codecs.unstorable import innermost
from gitflowrun.errors import UnserializableArtifact
from tests.helpers.flows import linear_flow
from tests.helpers.repos import GitRepo

pytest.importorskip("cloudpickle")


class Holder:
    """An object with an attribute."""

    def __init__(self, part: Any) -> None:
        self.part = part


def _recursive() -> list[Any]:
    value: list[Any] = [threading.Lock()]
    value.insert(0, value)
    return value


def _function() -> Any:
    lock = threading.Lock()
    return lambda: lock


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (threading.Lock(), ""),
        ({"a": 1, "lock": ["x", threading.Lock()]}, "['lock'][1]"),
        ([Holder({(1, "k"): (2, threading.Lock())})], "[0].part[(1, 'k')][1]"),
        (_recursive(), "[1]"),
        (_function(), "(lock)"),
        ({"k" * 99: memoryview(b"")}, "['" + "k" * 39 + "…]"),
    ],
    ids=["itself", "nested", "objects", "recursive", "closure", "long key"],
)
def test_the_part_is_named(value: Any, path: str) -> None:
    """By how one gets there from the value, through containers, attributes and closures."""
    with pytest.raises(UnserializableArtifact) as refused:
        encode(value)
    found, error = innermost(value, refused.value)
    assert found == path
    assert "lock" in error.message or "memoryview" in error.message


def test_a_task_names_artifact_and_part(repo: GitRepo) -> None:
    """The user reads how the part is written in their code."""
    start = "import threading\nself.model = {'lock': [1, threading.Lock()]}"
    repo.write("f.py", linear_flow(start))
    done = repo.flow("f.py", "run")
    assert done.code != 0
    assert (
        "artifact 'model' of step 'start' can't be stored: in model['lock'][1], a value of"
        in done.err + done.out
    )


_CHAIN = """
import sys
from gitflowrun.artifacts.codecs import decode, encode
from gitflowrun.errors import UnserializableArtifact
class Node: pass
first = last = Node()
for _ in range(int(sys.argv[1])):
    last.after = Node()
    last = last.after
sys.setrecursionlimit(1_000_000)
try:
    made = encode(first)
    print("stored", type(decode(made.codec, memoryview(bytes(made.payload())), trusted=True)).__name__)
except UnserializableArtifact as error:
    print(str(error).splitlines()[0])
assert sys.getrecursionlimit() == 1_000_000
"""


@pytest.mark.parametrize("links", [300, 4_000, 12_000, 100_000])
@pytest.mark.sample(2)
def test_no_chain_overflows_the_stack_of_a_raised_recursion_limit(
    repo: GitRepo, links: int
) -> None:
    """It is stored, or refused where the stack has no room for it, whatever limit the step has set."""
    done = repo.python("-c", _CHAIN, str(links))
    words = {"a value of type __main__.Node can't be pickled: it is nested too deeply for pickle"}
    if links <= 300 or (links <= 12_000 and sys.version_info < (3, 12)):
        words = {"stored Node"}
    elif links <= 4_000:  # 3.12 and 3.13 have limits of their own
        words.add("stored Node")
    assert (done.code, done.out.strip() in words) == (0, True), done


@pytest.mark.parametrize("kind", [list, dict, Holder])
def test_what_is_nested_too_deeply_is_refused(kind: Any) -> None:
    """The message says so, and what to do, without a path of thousands of brackets."""
    value: Any = kind({}) if kind is Holder else kind()
    for _ in range(10_000):
        value = {"in": value} if kind is dict else Holder(value) if kind is Holder else [value]
    with pytest.raises(UnserializableArtifact, match="nested too deeply") as caught:
        encode(value)
    assert "side by side" in (caught.value.hint or "")
    assert innermost(value, caught.value) == ("", caught.value)
