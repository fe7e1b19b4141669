"""How others store and read the same array. Each returns the seconds that count; what is not installed fails."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.race import timed

__all__ = ["Peers", "memcpy", "page_cache_read", "sha1", "write_and_sync"]

# Without unpickling what was loaded, in Metaflow's favour: its interpreter need not have numpy.
_METAFLOW = """
import sys, time
from metaflow.datastore.content_addressed_store import ContentAddressedStore
from metaflow.plugins.datastores.local_storage import LocalStorage
store = ContentAddressedStore("data", LocalStorage(sys.argv[2]))
blob = open(sys.argv[1], "rb").read()
begun = time.perf_counter()
(saved,) = store.save_blobs([blob])
stored = time.perf_counter() - begun
begun = time.perf_counter()
for _, data in store.load_blobs([saved.key]):
    len(data)
print(stored, time.perf_counter() - begun)
"""


def sha1(view: memoryview) -> float:
    """One pass of hashlib's SHA-1: the unit that this machine's noise leaves alone."""
    return timed(lambda: hashlib.sha1(view, usedforsecurity=False).digest())


def memcpy(source: Any, target: Any) -> float:
    """A copy into memory that is warm."""
    return timed(lambda: np.copyto(target, source))


def write_and_sync(view: memoryview, path: Path) -> float:
    """One plain write, and an fsync."""

    def work() -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        done = 0
        while done < len(view):
            done += os.write(fd, view[done : done + (1 << 30)])
        os.fsync(fd)
        os.close(fd)

    return timed(work)


def page_cache_read(path: Path, target: memoryview) -> float:
    """read() of a cached file into memory that is warm."""

    def work() -> None:
        with path.open("rb", buffering=0) as file:
            done = 0
            while done < len(target):
                done += file.readinto(target[done:]) or 0

    return timed(work)


class Peers:
    """Stores of others, each in a directory of its own that is emptied after each use.

    Args:
        directory: Where.
        metaflow_python: An interpreter that has Metaflow installed.
    """

    def __init__(self, directory: Path, metaflow_python: str | None) -> None:
        self.directory = directory
        self.metaflow_python = metaflow_python

    def hash_object(self, array: Any, compression: int | None) -> float:
        """`git hash-object -w`, as configured by default or with a compression level."""
        options = [] if compression is None else ["-c", f"core.looseCompression={compression}"]
        repo, path = self._repository(), self.directory / "payload"
        array.tofile(path)
        return self._cleaned(
            lambda: self._run(["git", *options, "hash-object", "-w", str(path)], repo), repo, path
        )

    def pygit2_blob(self, view: memoryview) -> float:
        """pygit2's `create_blob`."""
        import pygit2

        repo = self._repository()
        data = bytes(view)
        return self._cleaned(lambda: pygit2.Repository(str(repo)).create_blob(data), repo)

    def numpy_save(self, array: Any) -> float:
        """numpy.save and an fsync."""
        path = self.directory / "array.npy"

        def work() -> None:
            with path.open("wb") as file:
                np.save(file, array)
                file.flush()
                os.fsync(file.fileno())

        return self._cleaned(work, path)

    def joblib_dump(self, array: Any) -> float:
        """joblib.dump, which syncs nothing."""
        import joblib

        path = self.directory / "array.joblib"
        return self._cleaned(lambda: joblib.dump(array, path), path)

    def metaflow(self, array: Any) -> tuple[float, float]:
        """Seconds to store and to load in Metaflow's content-addressed store on local disk."""
        if not self.metaflow_python:
            msg = "no interpreter with metaflow given"
            raise RuntimeError(msg)
        path, root = self.directory / "array.pickle", self.directory / "metaflow"
        with path.open("wb") as file:
            pickle.dump(array, file, protocol=4)
        done = subprocess.run(
            [self.metaflow_python, "-c", _METAFLOW, str(path), str(root)],
            capture_output=True, text=True, check=False, env={**os.environ, "USER": "ada"},
        )  # fmt: skip
        self._remove(path, root)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        stored, loaded = map(float, done.stdout.split())
        return stored, loaded

    def dvc_add(self, array: Any) -> float:
        """`dvc add`, start-up included."""
        if not shutil.which("dvc"):
            msg = "not installed"
            raise RuntimeError(msg)
        repo = self._repository()
        self._run(["dvc", "init", "-q"], repo)
        array.tofile(repo / "payload")
        return self._cleaned(lambda: self._run(["dvc", "add", "-q", "payload"], repo), repo)

    def mlflow_artifact(self, array: Any) -> float:
        """numpy.save and MLflow's log_artifact."""
        import mlflow

        path, root = self.directory / "array.npy", self.directory / "mlruns"
        mlflow.set_tracking_uri(f"sqlite:///{self.directory / 'mlflow.db'}")
        if mlflow.get_experiment_by_name("storage") is None:
            mlflow.create_experiment("storage", artifact_location=root.as_uri())
        mlflow.set_experiment("storage")

        def work() -> None:
            np.save(path, array)
            mlflow.log_artifact(str(path))

        with mlflow.start_run():
            return self._cleaned(work, path, root)

    def small_loose(self, datas: list[bytes], *, synced: bool) -> float:
        """Loose objects by pygit2, one per payload."""
        import pygit2

        repo = self._repository()
        pygit2.settings.enable_fsync_gitdir(synced)
        opened = pygit2.Repository(str(repo))

        def work() -> None:
            for data in datas:
                opened.create_blob(data)

        try:
            return self._cleaned(work, repo)
        finally:
            pygit2.settings.enable_fsync_gitdir(False)  # noqa: FBT003  (its only argument)

    def _repository(self) -> Path:
        path = self.directory / "peer"
        self._remove(path)
        self._run(["git", "init", "-q", str(path)], self.directory)
        return path

    def _cleaned(self, work: Callable[[], object], *paths: Path) -> float:
        try:
            return timed(work)
        finally:
            self._remove(*paths)

    @staticmethod
    def _remove(*paths: Path) -> None:
        for path in paths:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    @staticmethod
    def _run(command: list[str], cwd: Path) -> None:
        subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr)
