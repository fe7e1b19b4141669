"""The limits of what a driver and its agents exchange, which nothing else is measured by."""

from __future__ import annotations

REMOTE_MESSAGE = 256 << 20
"""Bytes of one message of a link: the records that the join of a very wide foreach is given are the longest."""
LINK_FRAME = 1 << 20
"""Bytes of one frame, beyond which a message is cut into several: what is held before a signature is looked at."""
LINK_JOINED = 8 << 10
"""Bytes of a frame that is copied into one piece with its head and signature, which costs less than three pieces."""
LINK_READ = 64 << 10
"""Bytes that are read of a link in one turn, but for longer frames: others get their turns between."""
LINK_SPARE = 4
"""Pieces of memory for long frames that a process keeps."""
LINK_WRITTEN = 1 << 20
"""Bytes, about, that are written in one."""
LINK_PIECES = 128
"""Pieces that one system call sends: the kernel takes 1,024."""

LINK_HEARTBEAT = 5.0
"""Seconds after which a side that has nothing to say says that."""
LINK_SILENCE = 40.0
"""Seconds without a word after which the other side counts as lost: a driver may wait as long for a slow disk."""
LINK_PROBE = 10
"""Seconds between the kernel's own probes of a silent connection."""
LINK_PROBES = 5
"""Of these, how many stay without an answer before the kernel gives it up."""

CONNECT_TIME = 8.0
"""Seconds that an agent waits at one address of its driver."""
CONNECT_ROUNDS = 2
"""How often it tries each of them."""
CONNECT_PAUSE = 1.0
"""Seconds between."""
HANDSHAKE_TIME = 10.0
"""Seconds in which whoever has connected must have proved that it is an agent of this run."""
HANDSHAKES = 128
"""Connections that have not proved anything yet, at most: further ones wait, and the oldest is given up."""
HANDSHAKE_GRACE = 1.0
"""Seconds for which none of these is given up for another."""
ACCEPTED_AT_ONCE = 16
"""Connections that are accepted in one turn."""
LISTEN_BACKLOG = 1_024
"""Connections that the kernel keeps until they are accepted: agents of a large cluster come at the same time."""
