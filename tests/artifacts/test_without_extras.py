"""The core needs none of the packages that are optional."""

from __future__ import annotations

from tests.helpers.flows import latest, linear_flow, one_task
from tests.helpers.repos import ROOT, GitRepo

EXTRAS = ("cloudpickle", "numpy", "pandas", "polars", "pyarrow", "safetensors", "torch")
# Python imports a module of this name first in every process.
HIDING = f"""
import sys

class Hiding:
    def find_spec(name, path, target=None):
        if name in {EXTRAS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hiding)
"""


def test_a_run_without_extras_stores_and_reads_everything(repo: GitRepo) -> None:
    """A large value is cut by content, a class is pickled, and both come back in the next step."""
    repo.write("hidden/sitecustomize.py", HIDING)
    flow = linear_flow(
        start=(
            "self.large = random.Random(1).randbytes(6 << 20)\n"
            "self.odd = collections.UserDict(a=1)\n"
            "self.small = {'a': [1, (2,)]}\n"
        ),
        end=(
            "import sys\n"
            f"assert sys.modules.keys().isdisjoint({EXTRAS})\n"
            "assert self.large == random.Random(1).randbytes(6 << 20)\n"
            "assert self.odd == {'a': 1} and self.small == {'a': [1, (2,)]}\n"
        ),
        head="import collections, random",
    )
    repo.write("flow.py", flow)
    path = {"PYTHONPATH": f"{repo.path / 'hidden'}:{ROOT}"}
    done = repo.flow("flow.py", "run", env=path)
    assert done.code == 0, done.err
    refs = one_task(latest(repo), "start").record.artifacts
    assert len(refs["large"].chunks) > 2
    assert len({chunk.size for chunk in refs["large"].chunks}) > 2
    assert refs["odd"].codec == "pickle/5"
    shown = repo.runs("show", "1/start/1/large", env=path)
    assert "bytes/1" in shown.out
