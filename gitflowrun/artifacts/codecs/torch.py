"""safetensors/1: torch tensors and state dicts as files of that format, buffers uncopied.

The format is written here, so that torch is all that is needed:

    8 bytes: length N of the header, little-endian | N bytes of JSON | buffers

Any safetensors library reads the payload. What the format does not hold (the order of names, `requires_grad`,
tied weights) stands in its metadata. Tensors on a GPU, sparse, quantised and complex ones are left to pickle.
Tensors that share memory in part come back with memory of their own, as from pickle.

Within pickles (of a module, say) the memory of tensors travels out of band too: `reducers`.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.codecs.payload import Unencodable, flat, writable
from gitflowrun.limits import OUT_OF_BAND

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitflowrun.artifacts.codecs.payload import Loading

_NAMES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
    "F8_E5M2": "float8_e5m2", "F8_E4M3": "float8_e4m3fn",
}  # fmt: skip
_OF_TORCH = {torch_name: name for name, torch_name in _NAMES.items()}
_SINGLE = "tensor"
_KEY = "gitflowrun"
_META = "__metadata__"


def encode_tensors(value: Any) -> tuple[memoryview, ...]:
    """The parts of a tensor's, or a state dict's, safetensors file."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        raise Unencodable("not torch's")
    single = not isinstance(value, dict)
    tensors = {_SINGLE: value} if single else value
    if not tensors or not all(type(name) is str and name != _META for name in tensors):
        raise Unencodable("no state dict")
    for tensor in tensors.values():
        _check(tensor, torch)
    aliases = _aliases(tensors)
    note: dict[str, Any] = {"kind": "tensor" if single else type(value).__name__}
    note["names"] = [
        [name, type(tensor).__name__, tensor.requires_grad, aliases.get(name)]
        for name, tensor in tensors.items()
    ]
    attributes = {} if single else getattr(value, "__dict__", {})
    if attributes.keys() - {"_metadata"}:
        raise Unencodable("a dict with attributes")
    if attributes:  # the versions of the modules in a state dict
        note["versions"] = _jsonable(attributes["_metadata"])
    return _file({name: it for name, it in tensors.items() if name not in aliases}, note)


def _check(tensor: Any, torch: Any) -> None:
    if type(tensor) not in {torch.Tensor, torch.nn.Parameter}:
        raise Unencodable("not only tensors")
    dense = tensor.device.type == "cpu" and tensor.layout is torch.strided
    if not dense or str(tensor.dtype).removeprefix("torch.") not in _OF_TORCH:
        raise Unencodable(f"a {tensor.layout} tensor of {tensor.dtype} on {tensor.device}")
    if tensor.grad_fn is not None or tensor.is_neg() or vars(tensor):
        raise Unencodable("a tensor that is more than its values")


def _aliases(tensors: dict[str, Any]) -> dict[str, str]:
    """Names of tensors that are another name's over again (tied weights)."""
    first: dict[int, str] = {}
    aliases = {}
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage()
        other = first.setdefault(memory.data_ptr(), name) if memory.nbytes() else name
        if other != name and _place(tensor) == _place(tensors[other]):
            aliases[name] = other
    return aliases


def _place(tensor: Any) -> tuple[Any, ...]:
    return (tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)


def _jsonable(versions: Any) -> Any:
    plain = json.loads(json.dumps(versions))
    if plain != dict(versions):
        raise Unencodable("module versions that are no plain values")
    return plain


def _file(tensors: dict[str, Any], note: dict[str, Any]) -> tuple[memoryview, ...]:
    header: dict[str, Any] = {_META: {_KEY: json.dumps(note)}}
    buffers = []
    end = 0
    # Wide elements first, as safetensors does: then every buffer is aligned to its elements.
    for name in sorted(tensors, key=lambda name: (-tensors[name].element_size(), name)):
        tensor = tensors[name]
        size = tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _OF_TORCH[str(tensor.dtype).removeprefix("torch.")],
            "shape": list(tensor.shape),
            "data_offsets": [end, end + size],
        }
        end += size
        if size:
            buffers.append(_memory(tensor))
    try:
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Unencodable("a name with a lone surrogate") from error
    text += b" " * (-len(text) % 8)
    return (memoryview(len(text).to_bytes(8, "little") + text), *buffers)


def _memory(tensor: Any) -> memoryview:
    """A tensor's bytes, in C order."""
    import torch

    try:
        array = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    except RuntimeError as error:  # torch without numpy
        raise Unencodable(str(error)) from error
    return flat(array.data)


def decode_tensors(payload: memoryview, _loading: Loading) -> Any:
    """The tensor or state dict in a safetensors file. Torch knows no read-only tensors."""
    import torch

    payload = writable(payload)
    start = 8 + int.from_bytes(payload[:8], "little")
    header = json.loads(bytes(payload[8:start]))
    note = json.loads(header[_META][_KEY])
    found: dict[str, Any] = {}
    for name, type_, requires_grad, alias in note["names"]:
        # A detached alias is another tensor in the same memory.
        tied = found[alias].detach() if alias else None
        tensor = _tensor(torch, header[name], payload[start:]) if tied is None else tied
        if type_ == "Parameter":
            tensor = torch.nn.Parameter(tensor, requires_grad)
        found[name] = tensor if tensor.requires_grad else tensor.requires_grad_(requires_grad)
    if note["kind"] == "tensor":
        return found[_SINGLE]
    if note["kind"] == "dict":
        return found
    import collections

    ordered: Any = collections.OrderedDict(found)
    if "versions" in note:
        ordered._metadata = collections.OrderedDict(note["versions"])  # noqa: SLF001  (as torch does)
    return ordered


def _tensor(torch: Any, entry: dict[str, Any], data: memoryview) -> Any:
    name = _NAMES[entry["dtype"]]
    shape = entry["shape"]
    start, end = entry["data_offsets"]
    dtype = getattr(torch, name)
    if start == end:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(data[start:end], dtype=dtype).reshape(shape)


def reducers() -> dict[type, Callable[[Any], Any]]:
    """How picklers are to take tensors apart; nothing where there are none."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "nn"):
        return {}
    return {torch.Tensor: _reduce, torch.nn.Parameter: _reduce}


def _reduce(tensor: Any) -> Any:
    import pickle

    import torch

    if tensor.numel() * tensor.element_size() < OUT_OF_BAND:
        return tensor.__reduce_ex__(5)
    try:
        _check(tensor, torch)
        memory = pickle.PickleBuffer(_memory(tensor))
    except Unencodable:
        return tensor.__reduce_ex__(5)
    is_parameter = type(tensor) is torch.nn.Parameter
    dtype = str(tensor.dtype).removeprefix("torch.")
    return rebuild, (memory, dtype, tuple(tensor.shape), is_parameter, tensor.requires_grad)


def rebuild(
    memory: Any, dtype: str, shape: tuple[int, ...], is_parameter: bool, requires_grad: bool
) -> Any:
    """The tensor that `reducers` took apart; pickles name this function, so it stays where it is."""
    import torch

    view = writable(memoryview(memory))
    tensor = torch.frombuffer(view, dtype=getattr(torch, dtype)).reshape(shape)
    if is_parameter:
        return torch.nn.Parameter(tensor, requires_grad)
    return tensor.requires_grad_(requires_grad)
