"""Canonical pickles: a pickle is rewritten so that equal values have equal bytes. No code that it names is run.

A pickle is a program: it makes objects, keeps them in a numbered memo, and refers to them. pickle decides by
identity what it refers to, so equal values differ by what no user sees. The program is read into a graph of what
it makes, and the graph is written again with

- sets in the order of what their elements are written as, not in that of this process' hash seed;
- equal text, bytes, tuples of such, and dtypes once, however many objects they were: loading makes attribute
  names one object, and dtypes many;
- classes that cloudpickle stores whole under an id of their content: cloudpickle gives them a random one.

Lists, dicts and objects keep their order and their identity. A pickle is left as it is where it has instructions
that no pickler of ours writes, and where ordering its sets would take more than a small multiple of its size.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.codecs.payload import collector_paused, no_deeper
from gitflowrun.artifacts.digest import digest
from gitflowrun.limits import (
    CALLS_ON_STACK,
    CANONICAL_PICKLE,
    CANONICAL_VARYING_PICKLE,
    CANONICAL_WORK,
    PICKLED_DEPTH,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADER, _STOP, _FRAME, _MARK, _POP = b"\x80\x05", 0x2E, 0x95, 0x28, 0x30
_MEMOIZE, _BINGET, _LONG_BINGET = 0x94, 0x68, 0x6A
_REDUCE, _BUILD, _GLOBAL = 0x52, 0x62, 0x93
_ADDITEMS, _FROZENSET = 0x90, 0x91
_NEXT_BUFFER = 0x97

# Values that are their own bytes: code and operand, by the operand's size; then those whose size stands before them.
_FIXED = {
    0x4E: 0, 0x88: 0, 0x89: 0,  # None, True, False
    0x4B: 1, 0x4D: 2, 0x4A: 4,  # integers
    0x47: 8,  # float
    0x29: 0,  # ()
}  # fmt: skip
_LONG = {0x8A: 1, 0x8B: 4}
_NUMBERS = frozenset({*_FIXED, *_LONG})  # no object of theirs is kept in the memo
_TEXT = {0x8C: 1, 0x58: 4, 0x8D: 8, 0x43: 1, 0x42: 4, 0x8E: 8}  # str, then bytes
_BYTEARRAY = 0x96
_SIZED = {**_LONG, **_TEXT, _BYTEARRAY: 8}
_SHORT_TEXT = 0x8C
_READ_ONLY = 0x98
_EMPTY = frozenset({0x5D, 0x7D, 0x8F})  # list, dict, set
# What is made of the values on top of the stack: how many it takes. Of those above the mark: None.
_TAKES = {
    0x85: 1, 0x86: 2, 0x87: 3, 0x74: None,  # tuples
    _FROZENSET: None,
    _GLOBAL: 2, _REDUCE: 2, 0x81: 2, 0x92: 3,  # objects: REDUCE, NEWOBJ, NEWOBJ_EX
    _READ_ONLY: 1,
}  # fmt: skip
_OF_VALUES = frozenset({0x85, 0x86, 0x87, 0x74, _GLOBAL})
# What is done to the value beneath: APPEND, SETITEM, BUILD; APPENDS, SETITEMS, ADDITEMS.
_CHANGES = {0x61: 1, 0x73: 2, _BUILD: 1, 0x65: None, 0x75: None, _ADDITEMS: None}

# Where cloudpickle's id of a class stands among the arguments of what makes the class.
_CLASS_IDS = {
    b"_make_skeleton_class": 4, b"_make_skeleton_enum": 5, b"_make_typevar": 5,
}  # fmt: skip
_VARIES = (  # between two processes: a set, a frozenset, or a class of cloudpickle's
    bytes([0x8F, _MEMOIZE, _MARK]), bytes([_FROZENSET, _MEMOIZE]), *_CLASS_IDS,
)  # fmt: skip
_CLOUDPICKLE = b"cloudpickle.cloudpickle"
_ID_SIZE = 32  # characters, as cloudpickle's
_ID_HEAD = bytes([_SHORT_TEXT, _ID_SIZE])
_DTYPE = (b"numpy", b"dtype")
_OF_MEMO = {_BINGET: 1, _LONG_BINGET: 4}
_GETS = (bytes([_LONG_BINGET]), bytes([_BINGET]))


class _LeaveIt(Exception):
    """The pickle can't be made canonical."""


class _Node:
    """A value that is made of others, or changed by later instructions.

    Attributes:
        code: The instruction that makes it.
        parts: What it takes.
        own: The instruction with its operand, where it takes nothing: an empty list, a buffer.
        changes: What is done to it later: instructions, each with what it takes.
        is_value: Whether it can't change, so that equal ones are one.
        same: The node that it turned out to be equal to.
    """

    __slots__ = ("changes", "code", "is_value", "own", "parts", "same")

    def __init__(
        self, code: int, parts: list[_Value], own: bytes = b"", *, is_value: bool = False
    ) -> None:
        self.code = code
        self.parts = parts
        self.own = own
        self.changes: list[tuple[int, list[_Value]]] = []
        self.is_value = is_value
        self.same: _Node | None = None

    @property
    def function(self) -> tuple[bytes, bytes]:
        """Module and name of what is called to make it; nothing where it isn't made by a call."""
        called = self.parts[0] if self.code == _REDUCE else None
        if not isinstance(called, _Node) or called.code != _GLOBAL:
            return b"", b""
        module, name = called.parts
        assert isinstance(module, bytes) and isinstance(name, bytes)  # noqa: PT018
        return module[2:], name[2:]


_DEPTH = CALLS_ON_STACK if sys.version_info < (3, 11) else PICKLED_DEPTH
_Value = bytes | _Node  # the bytes of numbers and texts are all there is to them


def canonical(code: bytes, buffers: Sequence[memoryview]) -> tuple[bytes, list[memoryview]]:
    """The canonical pickle, and its buffers in the order in which it takes them.

    Args:
        code: A pickle of protocol 5.
        buffers: Those that it takes out of band.
    """
    varies = any(sign in code for sign in _VARIES)
    if len(code) > (CANONICAL_VARYING_PICKLE if varies else CANONICAL_PICKLE):
        return code, list(buffers)
    try:
        with collector_paused(len(code)), no_deeper(_DEPTH):
            program = _Program(code)
            root = program.read()
            program.name_classes_by_content()
            writer = _Writer(program)
            writer.write(root)
    except (_LeaveIt, RecursionError, LookupError):
        return code, list(buffers)
    made = b"".join([_HEADER, *writer.pieces, bytes([_STOP])])
    return made, [buffers[number] for number in writer.buffers]


class _Program:
    """Reads a pickle.

    Args:
        code: The pickle.
    """

    def __init__(self, code: bytes) -> None:
        self.local_classes: list[_Node] = []
        self._code = code
        self._work = CANONICAL_WORK * len(code)
        self._stack: list[_Value] = []
        self._marks: list[list[_Value]] = []
        self._memo: list[_Value] = []
        self._values: dict[tuple[Any, ...], _Node] = {}
        self._dtypes: dict[bytes, _Node] = {}
        self._orders: dict[int, list[_Value]] = {}
        self._buffers = 0

    def read(self) -> _Value:
        """The value that the pickle makes."""
        code, memo, position = self._code, self._memo, 2
        if code[:2] != _HEADER:
            raise _LeaveIt
        while True:
            op = code[position]
            if op == _MEMOIZE:
                memo.append(self._stack[-1])
                position += 1
            elif op == _SHORT_TEXT:
                end = position + 2 + code[position + 1]
                self._stack.append(code[position:end])
                position = end
            elif op in _OF_MEMO:
                end = position + 1 + _OF_MEMO[op]
                self._get(int.from_bytes(code[position + 1 : end], "little"))
                position = end
            elif op in _FIXED:
                end = position + 1 + _FIXED[op]
                self._stack.append(code[position:end])
                position = end
            elif op in _SIZED:
                start = position + 1 + _SIZED[op]
                end = start + int.from_bytes(code[position + 1 : start], "little")
                own = code[position:end]
                self._stack.append(_Node(op, [], own) if op == _BYTEARRAY else own)
                position = end
            elif op == _STOP:
                return self._stack.pop()
            else:
                self._perform(op)
                position += 9 if op == _FRAME else 1

    def _get(self, number: int) -> None:
        found = self._memo[number]
        self._stack.append(found if isinstance(found, bytes) else found.same or found)

    def _perform(self, op: int) -> None:
        """Do what an instruction does that has no operand, or one that says nothing: a frame's size."""
        if op == _MARK:
            self._marks.append(self._stack)
            self._stack = []
        elif op in _EMPTY:
            self._stack.append(_Node(op, [], bytes([op])))
        elif op in _TAKES:
            self._make(op, self._taken(_TAKES[op]))
        elif op in _CHANGES:
            self._change(op, self._taken(_CHANGES[op]))
        elif op == _POP:
            self._discard()
        elif op == _NEXT_BUFFER:
            self._stack.append(_Node(op, [], self._buffers.to_bytes(4, "big")))
            self._buffers += 1
        elif op != _FRAME:
            raise _LeaveIt

    def _taken(self, count: int | None) -> list[_Value]:
        """What an instruction takes off the stack."""
        if count is None:
            taken, self._stack = self._stack, self._marks.pop()
            return taken
        if len(self._stack) < count:
            raise _LeaveIt
        taken = self._stack[-count:]
        del self._stack[-count:]
        return taken

    def _make(self, op: int, parts: list[_Value]) -> None:
        if op in _OF_VALUES and all(isinstance(part, bytes) or part.is_value for part in parts):
            key = (op, *parts)
            node = self._values.get(key)
            if node is None:
                node = self._values[key] = _Node(op, parts, is_value=True)
        else:
            node = _Node(op, parts)
            module, name = node.function
            if module == _CLOUDPICKLE and name in _CLASS_IDS:
                self.local_classes.append(node)
        self._stack.append(node)

    def _top(self) -> _Node:
        node = self._stack[-1]
        if isinstance(node, bytes):
            raise _LeaveIt
        return node

    def _change(self, op: int, parts: list[_Value]) -> None:
        node = self._top()
        if op == _ADDITEMS and node.changes:
            node.changes[0][1].extend(parts)  # one batch: they will be ordered
            return
        node.changes.append((op, parts))
        if op == _BUILD and node.function == _DTYPE:
            node.is_value = True
            same = self._dtypes.setdefault(self.key(node), node)
            if same is not node:
                node.same = self._stack[-1] = same

    def _discard(self) -> None:
        """A call for its effect, such as the one that gives a class its attributes, belongs to what it changes."""
        call = self._top()
        self._stack.pop()
        target = self._top()
        arguments = call.parts[-1]
        if call.code != _REDUCE or isinstance(arguments, bytes) or target not in arguments.parts:
            raise _LeaveIt
        target.changes.append((_POP, [call]))

    def key(self, value: _Value) -> bytes:
        """What a value is written as where nothing is around it."""
        if isinstance(value, bytes):
            return value
        writer = _Writer(self)
        writer.write(value)
        key = b"".join(writer.pieces)
        self._work -= len(key)
        if self._work < 0:
            raise _LeaveIt
        return key

    def ordered(self, items: list[_Value]) -> list[_Value]:
        """The elements of a set."""
        number = id(items)
        if number not in self._orders:
            self._orders[number] = []  # an element that contains the set is ordered without it
            self._orders[number] = sorted(items, key=self.key)
        return self._orders[number]

    def name_classes_by_content(self) -> None:
        """Give classes that are stored whole ids that tell them from others, in place of cloudpickle's.

        Two classes of one content stay two: the second has its number in its id.
        """
        places = [
            (node, node.parts[1], _CLASS_IDS[node.function[1]]) for node in self.local_classes
        ]
        for _, arguments, place in places:  # all of them first: classes refer to each other
            if isinstance(arguments, bytes) or not _is_class_id(arguments.parts[place]):
                raise _LeaveIt
            arguments.parts[place] = b""
        contents = [self.key(node) for node, _, _ in places]
        for number, (_, arguments, place) in enumerate(places):
            content = contents[number]
            if content in contents[:number]:
                content += number.to_bytes(4, "big")
            name = digest(content).hex()[:_ID_SIZE].encode()
            assert isinstance(arguments, _Node)
            arguments.parts[place] = _ID_HEAD + name


def _is_class_id(value: _Value) -> bool:
    return isinstance(value, bytes) and len(value) == len(_ID_HEAD) + _ID_SIZE


class _Writer:
    """Writes values as a pickle.

    Args:
        program: Where they come from.
    """

    def __init__(self, program: _Program) -> None:
        self.pieces: list[bytes] = []
        self.buffers: list[int] = []
        self._program = program
        self._memo: dict[_Value, bytes] = {}

    def write(self, value: _Value) -> None:
        """Write a value: how to make it, or where it was made."""
        if value in self._memo:
            self.pieces.append(self._memo[value])
        elif isinstance(value, bytes):
            self.pieces.append(value)
            if value and value[0] not in _NUMBERS:
                self._keep(value)
        elif value.code == _NEXT_BUFFER:
            self.buffers.append(int.from_bytes(value.own, "big"))
            self.pieces.append(bytes([_NEXT_BUFFER]))
        else:
            self._make(value)

    def _make(self, node: _Node) -> None:
        if node.own:
            self.pieces.append(node.own)
        else:
            self._instruct(node.code, node.parts, _TAKES[node.code])
        if node.code != _READ_ONLY:  # buffers are not referred to
            self._keep(node)
        for code, parts in node.changes:
            if code == _POP:
                call = parts[0]
                assert not isinstance(call, bytes)
                self._instruct(_REDUCE, call.parts, _TAKES[_REDUCE])
                self.pieces.append(bytes([_POP]))
            else:
                self._instruct(code, parts, _CHANGES[code])

    def _keep(self, value: _Value) -> None:
        number = len(self._memo)
        short = number < 1 << 8
        self._memo[value] = _GETS[short] + number.to_bytes(1 if short else 4, "little")
        self.pieces.append(bytes([_MEMOIZE]))

    def _instruct(self, code: int, parts: list[_Value], takes: int | None) -> None:
        if code in {_ADDITEMS, _FROZENSET}:
            parts = self._program.ordered(parts)
        if takes is None:
            self.pieces.append(bytes([_MARK]))
        for part in parts:
            self.write(part)
        self.pieces.append(bytes([code]))
