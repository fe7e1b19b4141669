"""The limits of agents on an engine's workers."""

from __future__ import annotations

ABSENT_AT_ONCE = 4_096
"""Objects that a task asks for at once: their ids fit into one datagram, their content may be 16 GB."""
AHEAD_EACH, AHEAD_ALL = 256 << 10, 4 << 20
"""Bytes of an input's artifact that is asked for with another one of that name, and of all that are with one."""
ABSENT_ERROR = 4_096
"""Bytes of why they can't be had."""
RECORDS_AT_ONCE = 10_000
"""Objects that an agent asks for at once before a launch: the records of the tasks that a join follows."""
LOOSE_ARRIVAL = 1 << 20
"""Bytes of a pack whose objects become loose ones of the agent's own; larger ones are kept for other agents, too."""
CACHE_SIZE = 8 << 30
"""Bytes of packs that agents have on a machine for each other and for later ones, for each repository."""
CACHE_PACKS = 2_000
"""The most of these packs: whoever looks for an object looks into one after the other."""
CACHE_AGE = 14 * 86_400.0
"""Seconds for which a pack stays there: of code since an agent has last begun with it, of inputs since it has come."""
CACHE_LOOSE = 1 << 30
"""Bytes of loose objects, small inputs, that an agent has; if there are more, it goes down to half of that."""
LOOSE_BLOCK = 4_096
"""Bytes that the file of a loose object takes at least."""
KNOWN_TREES = 20
"""Trees of code that an agent says it has; those that were used last."""
TREE_PACKS = 100
"""Packs in which these may lie: a tree that lies in more is not named, so the next one comes whole, in one pack."""
FETCH_PAUSE = 0.1
"""Seconds until it is looked again whether another agent of the machine has got the code."""
PAUSED_OUTPUT = 0.01
"""Seconds for which tasks' output is not read when too much waits to be sent."""
CARD_LOOK = 1.0
"""Seconds between two looks whether a running task has refreshed a card."""
PROGRAM_OUTPUT = 32 << 10
"""Bytes that are kept of what the flow's program writes while it imports the flow."""
PROGRAM_OUTPUT_TOLD = 2_000
"""Characters of it that an error names, the last ones."""
PROGRAM_END = 1.0
"""Seconds for which the end of the flow's program is waited for once it has closed the pipe that its death closes."""
ZYGOTE_END = 3.0
"""Seconds that the zygote gets to end its tasks; then it is killed."""
PACKAGES_NAMED = 8
"""Packages that differ and are named."""
PACK_PIECE = 1020 << 10
"""Bytes of a pack in one message, which is one frame of a link."""
SENT_AHEAD = 8 << 20
"""Bytes that may wait for a link before more of a pack is read for it, and more of what tasks write."""
SENT_PACKS = 16 << 30
"""Bytes of packs that an agent keeps of what it has sent: what follows on the same worker reads them there."""
SENT_PACKS_MOST = 500
"""The most of these packs: each that comes makes every reader list them all."""
HELD_TIME = 0.02
"""Seconds for which what a task has written, and that it has begun or returned, may wait for more to be sent."""
HELD_SIZE = 64 << 10
"""Bytes of that which are sent at once."""
