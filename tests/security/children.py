"""Decoding in a process of its own, within limits of memory and time, so that a crash or a hang is seen and told.

    python -m tests.security.children

reads JSON lines `[codec, hex of the payload, least address space in MB]` and answers each with
`[outcome, MB that the process grew by, seconds of CPU]`; where it ends early, the line that it was at is to blame.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.helpers.repos import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

MEMORY = 2 << 30


class Answer(NamedTuple):
    """What became of a payload: `value`, the name of an error of ours, or what should never be."""

    outcome: str
    grown: float = 0.0
    seconds: float = 0.0


def decode_all(payloads: Iterable[tuple[str, bytes]], seconds: int = 60) -> list[Answer]:
    """Decode payloads of strangers in a child; as many answers as it lived to give, and how it ended if it died."""
    lines = "".join(json.dumps([codec, payload.hex()]) + "\n" for codec, payload in payloads)
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(seconds)],
        input=lines.encode(), capture_output=True, timeout=4 * seconds + 60, check=False, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    answers = [Answer(*json.loads(line)) for line in done.stdout.splitlines()]
    if done.returncode:
        answers.append(Answer(f"ended with {done.returncode}: {done.stderr[-500:]!r}"))
    return answers


def limit(seconds: int) -> None:
    """Limit this process; no core is written."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def outcome_of(codec: str, payload: bytes) -> str:
    """What decoding comes to without trust."""
    from gitflowrun.artifacts.codecs import decode
    from gitflowrun.errors import CorruptRecord, NotFound, UntrustedArtifact

    try:
        decode(codec, memoryview(bytearray(payload)), trusted=False)
    except (CorruptRecord, NotFound, UntrustedArtifact) as error:
        return type(error).__name__
    except BaseException as error:  # noqa: BLE001  (that is what is looked for)
        return f"escaped: {type(error).__module__}.{type(error).__name__}: {error}"[:300]
    return "value"


def _highest() -> float:
    """MB that this process has had at most since it was last asked to forget it."""
    with open("/proc/self/status") as file:  # noqa: PTH123
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def main() -> None:
    """Answer the lines of standard input."""
    import numpy as np

    assert np.zeros(1).size
    limit(int(sys.argv[1]))
    for line in sys.stdin:
        codec, payload = json.loads(line)
        raw: Any = bytes.fromhex(payload)
        with open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123
            file.write("5")
        before, start = _highest(), time.process_time()
        outcome = outcome_of(codec, raw)
        spent = time.process_time() - start
        sys.stdout.write(json.dumps([outcome, round(_highest() - before), round(spent, 2)]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
