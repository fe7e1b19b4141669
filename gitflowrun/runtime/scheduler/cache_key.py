"""The key of a task in the step cache: digests of all that is known of it before it is executed.

    step          the code of its step, and of the steps that this calls
    around        what the files of the flow have outside of their steps
    parameters    parameters and constants, by (digest, codec, type); of secret ones the keyed hashes; configs
    inputs        the artifacts of the tasks it follows, in order, by the same three; the steps of these tasks
    environment   interpreter and its flags, packages and their versions (of those that were installed from a directory
                  the digests of their files), hash seed; the directories in which the
                  program is and looks for the user's modules, and the flow's files, from the top of the work tree
    options       the decorators of step and flow with their attributes, whoever has attached them; options of theirs

The key is a digest of these, of the flow's name and the step's, and of where the task is: its foreach levels (variable,
index, number of items; the items themselves are inputs) and its iterations. Not in it: the run's id, user and time, the
number of the attempt, and random seeds: what a flow does to seed a generator is in its code, and without that a task
that is executed again has other numbers in any case.

The parts are kept apart in the task's record, so that it can be said which of them has changed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun import msgpack
from gitflowrun.artifacts.digest import digest
from gitflowrun.runtime.ipc.messages import AROUND

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.runs.records import ForeachLevel, RunInfo
    from gitflowrun.runtime.ipc.messages import StartRun

_SIZE = 16
PARTS = ("step", "around", "parameters", "inputs", "environment", "options")
"""The names of the parts, in the order in which a change of them is told."""
MACHINE = ("python", "implementation", "architecture", "packages")
"""What of INFO's environment makes a task another one."""


def part(value: Any) -> bytes:
    """The digest of plain data."""
    return digest(msgpack.pack(value))[:_SIZE]


def artifacts_part(artifacts: Mapping[str, ArtifactRef]) -> bytes:
    """The digest of the artifacts of a task: which values they are, wherever they lie and whoever has made them."""
    rows = [
        b"%s\0%s" % (f"{name}\x00{ref.codec}\x00{ref.type}".encode(errors="replace"), ref.digest)
        for name, ref in sorted(artifacts.items())
    ]
    return digest(b"\0".join(rows))[:_SIZE]


def inputs_part(inputs: Iterable[tuple[str, bytes]]) -> bytes:
    """The digest of the inputs of a task: the step of each, and the digest of its artifacts, in order."""
    return digest(b"".join(b"%s\0%s" % (step.encode(), found) for step, found in inputs))[:_SIZE]


def parameters_part(
    artifacts: Mapping[str, ArtifactRef], secrets: Mapping[str, str], configs: Mapping[str, bytes]
) -> bytes:
    """The digest of the parameters, constants and configs of a run."""
    packed = {name: digest(config) for name, config in sorted(configs.items())}
    return part([artifacts_part(artifacts), dict(sorted(secrets.items())), packed])


def environment_part(start: StartRun, info: RunInfo, top: Path | None) -> bytes:
    """The digest of what a run is executed with, and where: paths count from the top of the work tree."""
    places = (*start.surroundings, *map(os.path.realpath, start.step_files))
    return part(
        [
            [info.environment.get(name) for name in MACHINE],
            [
                start.hash_seed,
                info.versions,
                str(info.environment.get("platform")).partition(" ")[0],
            ],
            [place.removeprefix(f"{top}/") for place in places],
            _from_directories(start.path, info),
        ]
    )


def _from_directories(path: Iterable[str], info: RunInfo) -> list[bytes]:
    """What was installed of packages that are installed from a directory: their versions seldom change."""
    packages = info.environment.get("packages")
    found: list[bytes] = []
    for name, text in sorted(packages.items()) if isinstance(packages, dict) else ():
        version, _, url = str(text).partition(" @ ")
        for folder in path if url.startswith("file:") else ():
            with suppress(OSError, ValueError):
                record = Path(folder, f"{name}-{version}.dist-info", "RECORD").read_bytes()
                found.append(digest(record))
                break
    return found


def step_parts(start: StartRun, step: str) -> dict[str, bytes]:
    """The parts that are the same for all tasks of a step in a run."""
    row = start.graph["steps"][step]
    options = [row["decorators"], row["node_info"], start.graph["decorators"]]
    return {
        "step": digest(start.step_code[step])[:_SIZE],
        "around": digest(start.step_code[AROUND])[:_SIZE],
        "options": part([options, dict(sorted(start.request.options.items()))]),
    }


def joined(parts: Mapping[str, bytes]) -> bytes:
    """The parts of a key in one."""
    return b"".join(parts.get(name, b"")[:_SIZE].ljust(_SIZE, b"\0") for name in PARTS)


def differing(parts: Mapping[str, bytes], other: bytes) -> tuple[str, ...]:
    """The names of those parts that differ from others, which are joined."""
    ours = joined(parts)
    places = ((name, slice(at * _SIZE, (at + 1) * _SIZE)) for at, name in enumerate(PARTS))
    return tuple(name for name, place in places if ours[place] != other[place])


def key_of(
    flow: str,
    step: str,
    frames: Sequence[ForeachLevel],
    iterations: Sequence[int],
    parts: Mapping[str, bytes],
) -> bytes:
    """The key of a task."""
    levels = (f"{it.step}\0{it.var}\0{it.num_splits}\0{it.index}" for it in frames)
    return _place(joined(parts), flow, step, levels, iterations)


def place_of(
    flow: str, step: str, frames: Sequence[ForeachLevel], iterations: Sequence[int]
) -> bytes:
    """Where a task is in a flow, by which earlier ones are found to be compared with it."""
    return _place(b"", flow, step, (str(it.index) for it in frames), iterations)


def _place(
    head: bytes, flow: str, step: str, levels: Iterable[str], iterations: Iterable[int]
) -> bytes:
    """The digest of a place. No name has a NUL in it, and `part` takes three times as long."""
    texts = "\0\0".join([flow, step, *levels, "", *map(str, iterations)])
    return digest(head + texts.encode(errors="replace"))[:_SIZE]
