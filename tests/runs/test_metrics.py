"""The metrics of a run: what becomes one, as which bytes, and what is made of anybody's."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.names import TaskName
from gitflowrun.runs.metrics import (
    METRICS_SIZE,
    MOST_METRICS,
    dump_metrics,
    metrics_of,
    read_metrics,
)
from gitflowrun.runs.trees import data_entries
from gitflowrun.values import replace
from tests.artifacts.test_scalar import SCALARS
from tests.helpers.repos import GitRepo
from tests.helpers.runs import artifact
from tests.runs.test_trees import finished

END = TaskName("end", "4")


def ref(*scalar: Any, producer: TaskName = END) -> Any:
    """An artifact with that scalar."""
    return replace(artifact(b"x", producer), scalar=scalar)


def test_scalars_of_the_end_task_are_metrics() -> None:
    """Inherited ones too; not parameters, nor private ones, nor values that are no scalars."""
    record = finished(
        ("loss", ref(0.5, producer=TaskName("train", "2"))), ("best", ref("tree")), ("none", ref(None)),
        ("model", ref()), ("_p", ref(1)), ("lr", ref(0.1, producer=TaskName("_parameters", "0"))),
    ).record  # fmt: skip
    assert metrics_of(record) == {"best": "tree", "loss": 0.5, "none": None}
    entries, objects = data_entries(record)
    assert entries[-1].name == b"metrics.json"
    assert bytes(objects[-1].data) == b'{\n "best": "tree",\n "loss": 0.5,\n "none": null\n}\n'


def test_a_run_without_scalars_has_no_file() -> None:
    """Nothing is made of nothing."""
    entries, _ = data_entries(finished(("model", ref())).record)
    assert [row.name for row in entries] == [b"model.bin"]


@given(st.dictionaries(st.from_regex(r"[A-Za-z]\w{0,20}", fullmatch=True), SCALARS, min_size=1))
def test_metrics_are_read_back_and_are_json(metrics: dict[str, Any]) -> None:
    """Every reader of JSON takes them; ours gives NaN and infinities back."""
    data = dump_metrics(metrics)
    assert data is not None
    found = read_metrics(data)
    for name, value in metrics.items():
        if value in ("NaN", "Infinity", "-Infinity"):
            continue  # a text that says so is the number
        assert repr(found[name]) == repr(value)
    json.loads(data, parse_constant=pytest.fail)


def test_there_is_a_limit() -> None:
    """Very many metrics, or long ones, are cut, and the rest stays readable."""
    many = dump_metrics({f"m{n:05}": n for n in range(MOST_METRICS + 5)})
    assert many is not None
    assert [*read_metrics(many).values()] == [*range(MOST_METRICS)]
    long = dump_metrics({f"m{n:05}": "\u20ac" * 200 for n in range(MOST_METRICS)})
    assert long is not None
    assert METRICS_SIZE - 1_000 < len(long) <= METRICS_SIZE
    assert 90 < len(read_metrics(long)) < MOST_METRICS


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[1]", b"1", b"{", b'{"a": NaN}', b"[" * 100_000, b"\xff", b'{"a": 1}' + b" " * METRICS_SIZE,
        json.dumps({f"m{n}": 1 for n in range(MOST_METRICS + 1)}).encode(),
    ],
    ids=lambda data: repr(data[:20]),
)  # fmt: skip
def test_what_is_no_such_file_has_no_metrics(data: bytes) -> None:
    """Anybody may have made it."""
    assert read_metrics(data) == {}


def test_of_a_stranger_only_scalars_are_taken() -> None:
    """What else there is costs its own metric alone."""
    found = read_metrics(
        json.dumps({"a": [1], "b\n": 1, "c": "\x1b[m", "d": 2**70, "e": 1.5}).encode()
    )
    assert found == {"e": 1.5}
    assert math.isnan(read_metrics(b'{"a": "NaN"}')["a"])  # type: ignore[arg-type]


def test_a_run_has_its_metrics_as_a_file(repo: GitRepo) -> None:
    """Git shows them, and the run is whole."""
    repo.write(
        "flow.py",
        "from gitflowrun import FlowSpec, Parameter, step\n\n"
        "class F(FlowSpec):\n    lr = Parameter('lr', default=0.1)\n\n"
        "    @step\n    def start(self):\n        self.accuracy = 0.93\n        self.next(self.end)\n\n"
        "    @step\n    def end(self):\n        self.best = 'tree'\n        self.model = [1]\n\n"
        "if __name__ == '__main__':\n    F()\n",
    )
    repo.commit()
    assert repo.python("flow.py", "run").code == 0
    assert repo.git("show", "runs/F/1:data/metrics.json") == (
        '{\n "accuracy": 0.93,\n "best": "tree"\n}'
    )
    done = repo.call("fsck", "--read-data")
    assert (done.code, done.err) == (0, "")
