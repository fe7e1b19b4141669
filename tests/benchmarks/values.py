"""What classes of values cost: to define 60 of them, to make the first instance of each, and to use them.

    python tests/benchmarks/values.py [rounds]

Each kind is measured in interpreters of its own, in turns; the least of all rounds counts. The import of the
library itself is not counted. Kinds that are not installed are left out.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys

CLASSES = 60
ACTIONS = ("define", "first", "again", "equal", "hash")
KINDS = {
    "dataclass": ("import dataclasses", "@dataclasses.dataclass(frozen=True, slots=True)", ""),
    "NamedTuple": ("from typing import NamedTuple", "", "(NamedTuple)"),
    "attrs": ("import attrs", "@attrs.frozen", ""),
    "msgspec": ("import msgspec", "", "(msgspec.Struct, frozen=True)"),
    "values": ("from gitflowrun.values import frozen", "@frozen", ""),
}
CLASS = """
{decorator}
class C{number}{bases}:
    name: str
    size: int
    parts: tuple
    note: str
    is_old: bool
    extra: str = ""

    @property
    def half(self):
        return self.size // 2
"""
PROGRAM = """
import time
{imports}
code = compile({source!r}, "classes", "exec")

def timed(act, times=1):
    start = time.perf_counter()
    for _ in range(times):
        act()
    print((time.perf_counter() - start) / times)

def make():
    return [cls("a", 1, (), "b", True) for cls in classes]

def compare():
    for one, two in pairs:
        one == two

def hash_all():
    for one, _ in pairs:
        hash(one)

timed(lambda: exec(code, globals()))
classes = [globals()[f"C{{number}}"] for number in range({count})]
timed(make)
pairs = [(one, two) for _ in range(20) for one, two in [*zip(make(), make())]][-{count}:]
timed(make, 100)
timed(compare, 100)
timed(hash_all, 100)
"""


def _measure(kind: str) -> list[float]:
    """Microseconds a class or instance, for each action."""
    imports, decorator, bases = KINDS[kind]
    source = "from __future__ import annotations\n" + "".join(
        CLASS.format(decorator=decorator, number=number, bases=bases) for number in range(CLASSES)
    )
    program = PROGRAM.format(imports=imports, source=source, count=CLASSES)
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True
    )
    return [float(word) * 1e6 / CLASSES for word in run.stdout.split()]


def main() -> None:
    """Measure all kinds; print microseconds and ratios to dataclasses."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    needed = {"attrs": "attrs", "msgspec": "msgspec"}
    kinds = [kind for kind in KINDS if importlib.util.find_spec(needed.get(kind, "sys"))]
    least = {kind: [float("inf")] * len(ACTIONS) for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            least[kind] = list(map(min, least[kind], _measure(kind)))
    print(f"{'µs':12}" + "".join(f"{action:>16}" for action in ACTIONS))
    for kind, times in least.items():
        pairs = zip(times, least["dataclass"], strict=True)
        print(f"{kind:12}" + "".join(f"{one:9.2f} {one / base:5.2f}x" for one, base in pairs))


if __name__ == "__main__":
    main()
