"""A server beside the repository."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.helpers.repos import GitRepo


@pytest.fixture
def server(tmp_path: Path, repo: GitRepo) -> GitRepo:
    """A bare repository, `origin` of `repo`."""
    path = tmp_path / "server.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    repo.git("remote", "add", "origin", str(path))
    return GitRepo(path)


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def static(server: GitRepo) -> Iterator[str]:
    """The URL at which a web server that knows nothing of git hands out the files of `server`."""
    web = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(server.path)))
    with web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()
