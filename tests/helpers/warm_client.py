"""`python WORDS` by fork of a warm Python: the process that others see, with its streams, signals and end.

    python -IS warm_client.py SOCKET WORDS...

Nothing is imported but what Python is built of, for its own start would take longer than the fork. Where no warm Python
listens, or the environment does not suit, this process becomes the program.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import posix
import sys

_MOST = 40
_FDS = b"".join(it.to_bytes(4, sys.byteorder) for it in range(3))


def _begun(name: str, words: list[bytes]) -> _socket.socket | None:
    place = posix.getcwdb()
    posix.umask(mask := posix.umask(0))
    parts = [b"%d" % mask, place, b"%d" % len(words), *words]
    parts += [name_ + b"=" + value for name_, value in posix.environ.items()]
    calls = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        calls.connect("\0" + name)
        calls.sendmsg([b"\0".join(parts)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _FDS)])
    except OSError:
        return None
    return calls


def main() -> None:
    """Begin it, and end as it does."""
    name, *rest = sys.argv[1:]
    words = [it.encode(sys.getfilesystemencoding(), "surrogateescape") for it in rest]
    calls = _begun(name, words)
    told = calls.recv(_MOST) if calls else b""
    if not calls or not told:
        posix.execve(sys.executable, [sys.executable.encode(), *words], posix.environ)
    pid, _, end = told.partition(b" ")
    for number in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM):
        _signal.signal(number, lambda number, _: posix.kill(int(pid), number))
    code = int(end or calls.recv(_MOST) or -_signal.SIGKILL)
    if code < 0:
        if _signal.getsignal(-code) is not None and -code not in (_signal.SIGKILL, _signal.SIGSTOP):
            _signal.signal(-code, _signal.SIG_DFL)
        posix.kill(posix.getpid(), -code)
    posix._exit(code)


main()
