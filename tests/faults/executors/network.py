"""A network between agents and their driver that can be silent, or cut, and comes back."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time

from tests.faults.executors.workplaces import Workplace

__all__ = ["Network"]

_BEGIN = """
import socket
_connect = socket.create_connection
def _through(address, timeout=None, *rest, **more):
    sock = _connect(("127.0.0.1", {port}), timeout, *rest, **more)
    sock.sendall(f"{{address[0]}} {{address[1]}}\\n".encode())
    return sock
socket.create_connection = _through
"""
_LINE = 256
_PIECE = 1 << 16
_LOOK = 0.05


class Network:
    """Passes on what agents and drivers say to each other, as long as it is there.

    Args:
        way: Whose agents are to use it.
        begin: More that they begin with.

    Attributes:
        met: How many connections have been made over it.
    """

    def __init__(self, way: Workplace, begin: str = "") -> None:
        self.met = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self._is_silent = threading.Event()
        self._is_cut = threading.Event()
        self._is_over = threading.Event()
        way.let_workers(begin=begin + _BEGIN.format(port=self._server.getsockname()[1]))
        self._start(self._accept)

    def _start(self, target: object, *args: object) -> None:
        assert callable(target)
        threading.Thread(target=target, args=args, daemon=True).start()

    def be_silent(self, seconds: float) -> None:
        """Pass nothing on for so long, as where a cable is pulled; then what has waited for it."""
        self._is_silent.set()
        time.sleep(seconds)
        self._is_silent.clear()

    def cut(self, seconds: float) -> None:
        """End all connections, as a router does that begins anew, and refuse others for so long."""
        self._is_cut.set()
        time.sleep(seconds)
        self._is_cut.clear()

    def close(self) -> None:
        """End it, and all connections."""
        self._is_over.set()
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._server.accept()
                if self._is_cut.is_set():
                    sock.close()
                else:
                    self._start(self._join, sock)

    def _join(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError, ValueError):
            line = b""
            while not line.endswith(b"\n") and len(line) < _LINE:
                line += sock.recv(1)
            host, port = line.decode().split()
            with socket.create_connection((host, int(port)), 5) as driver:
                self.met += 1
                back = threading.Thread(target=self._pass_on, args=(driver, sock), daemon=True)
                back.start()
                self._pass_on(sock, driver)
                back.join()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            while not (self._is_over.is_set() or self._is_cut.is_set()):
                if self._is_silent.is_set():
                    time.sleep(_LOOK)
                elif select.select([source], [], [], _LOOK)[0]:
                    data = source.recv(_PIECE)
                    if not data:
                        break
                    target.sendall(data)
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
