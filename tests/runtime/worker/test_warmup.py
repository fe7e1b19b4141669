"""The warm-up of the zygote."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.helpers.repos import ROOT


@pytest.mark.parametrize("has_decorators", [False, True])
@pytest.mark.sample(1)
def test_a_warm_up_leaves_nothing_to_import_and_nothing_behind(has_decorators: bool) -> None:
    """What the zygote has done before its first fork starts no thread and keeps heavy modules out."""
    code = (
        "import os, sys, time\n"
        "from gitflowrun.runtime.worker import zygote\n"
        "from gitflowrun.runtime.worker.warm_up import warm_up\n"
        f"warm_up(12, has_decorators={has_decorators})\n"
        "loaded, files = set(sys.modules), len(os.listdir('/proc/self/fd'))\n"
        f"warm_up(12, has_decorators={has_decorators})\n"
        "assert set(sys.modules) == loaded, set(sys.modules) - loaded\n"
        "assert len(os.listdir('/proc/self/fd')) == files\n"
        "assert len(os.listdir('/proc/self/task')) == 1\n"
        "heavy = {'pygit2', 'click', 'numpy', 'pandas', 'threading', 'random', 'logging', 'subprocess'}\n"
        "assert not heavy & loaded, heavy & loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
