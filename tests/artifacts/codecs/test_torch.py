"""torch tensors and state dicts as safetensors files. Skipped where torch is not installed."""

from __future__ import annotations

import collections
from typing import Any

import pytest

from gitflowrun.artifacts.codecs import decode, encode
from gitflowrun.errors import CorruptRecord

torch = pytest.importorskip("torch")


def through(value: Any) -> Any:
    """Encode and decode, untrusted."""
    made = encode(value)
    assert made.codec == "safetensors/1"
    return decode(made.codec, made.payload(), trusted=True)


TENSORS = {
    "ints": lambda: torch.arange(5),
    "transposed": lambda: torch.rand(3, 4).t(),
    "no dimension": lambda: torch.tensor(1.5),
    "empty": lambda: torch.empty(0, 3),
    "bfloat16": lambda: torch.rand(3).bfloat16(),
    "bool": lambda: torch.tensor([True, False]),
    "with gradient": lambda: torch.rand(2, requires_grad=True),
    "parameter": lambda: torch.nn.Parameter(torch.rand(2), requires_grad=False),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_come_back(name: str) -> None:
    """Values, dtype, shape, whether gradients are wanted."""
    tensor = TENSORS[name]()
    found = through(tensor)
    assert type(found) is type(tensor)
    assert found.dtype == tensor.dtype
    assert found.requires_grad == tensor.requires_grad
    assert torch.equal(found, tensor)


def test_state_dicts_come_back_in_order() -> None:
    """Order, module versions and tied weights; the tensors are parts of their own."""
    model = torch.nn.Sequential(torch.nn.Linear(100, 50), torch.nn.BatchNorm1d(50))
    state: Any = model.state_dict()
    state["tied"] = state["0.weight"].detach()
    made = encode(state)
    assert sum(part.nbytes == 100 * 50 * 4 for part in made.parts) == 1
    found: Any = through(state)
    assert [type(found)] == [collections.OrderedDict]
    assert list(found) == list(state)
    assert found._metadata == state._metadata
    assert all(torch.equal(found[name], state[name]) for name in state)
    found["tied"][0, 0] = 9
    assert found["0.weight"][0, 0] == 9


def test_safetensors_reads_the_payload() -> None:
    """The payload is a file of that format."""
    safetensors = pytest.importorskip("safetensors.torch")
    state = {"b": torch.rand(3, 3), "a": torch.ones(2, dtype=torch.uint8)}
    found = safetensors.load(encode(state).payload())
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_other_tensors_go_to_pickle() -> None:
    """Complex and sparse tensors are not bent to fit."""
    for tensor in (torch.rand(2, dtype=torch.complex64), torch.eye(2).to_sparse()):
        assert encode(tensor).codec == "pickle/5"
    assert encode({"x": [torch.rand(2)]}).codec == "plain/1"


def test_modules_are_pickled_with_memory_out_of_band() -> None:
    """A pickled module's weights are parts of their own, and trainable when loaded."""
    model = torch.nn.Linear(100, 100)
    made = encode(model)
    assert made.codec == "pickle/5"
    assert made.parts[0].nbytes < 10_000
    found = decode(made.codec, made.payload(), trusted=True)
    assert torch.equal(found.weight, model.weight)
    found(torch.rand(2, 100)).sum().backward()
    torch.optim.SGD(found.parameters(), lr=0.1).step()


def test_damaged_files_are_corrupt() -> None:
    """Whatever the bytes, the error is CorruptRecord."""
    good = encode(torch.arange(5)).payload()
    for bad in (b"", b"\xff" * 8, good[:-1], good[:20], bytes(20)):
        with pytest.raises(CorruptRecord):
            decode("safetensors/1", bad, trusted=True)
