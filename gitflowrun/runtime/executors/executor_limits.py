"""The limits of executors: of batch isolation, and of runs that an engine executes."""

from __future__ import annotations

REMOTE_PIECE = 1020 << 10
"""Bytes of a pack in one message, which is one frame of a link."""
LINK_BACKLOG = 8 << 20
"""Bytes that may wait to be sent over a link before more of a pack is read for it."""
AGENT_STARTS = 3
"""How many agents in a row may fail to begin: then no others are asked for, and without any the run fails."""
AGENT_AGAIN = 30.0
"""Seconds after which others are asked for all the same where there is one that is ready."""
AGENT_IDLE = 60.0
"""Seconds after which an agent without a task is sent home, for others to have its place."""
AGENT_END_TOLD = 1.0
"""Seconds in which an engine may say how an agent has ended, after its link has."""
WAIT_TOLD = 15.0
"""Seconds without any agent after which the user is told that tasks wait for workers."""
HOSTS_TOLD = 20
"""Machines that are named in the run's log as they join."""
VERIFIED_AT_ONCE = 8 << 20
"""Bytes of what has arrived that are compared with their BLAKE3 in one turn of the scheduler's loop."""
MOST_IDLE = 64
"""Processes that wait for more tasks of their steps; the oldest end first."""
FILES_PER_PROCESS = 7
"""Descriptors that such a process takes of the scheduler: both ends of its socket, four pipes, one on its way."""
INTAKE_THREADS = 4
"""Threads that look at packs that have arrived, and wait for the disk to have them."""
UNVERIFIED = 4
"""Tasks of an agent of which what has arrived is being verified, with which it gets no other task."""
AHEAD_UNDER = 1.0
"""Seconds that tasks take, at which agents are given no launches ahead."""
AHEAD_WORK = 0.1
"""Seconds of work that wait at an agent, if the driver is busy: it may be committing."""
AHEAD_MOST = 64
"""Launches that wait at an agent, beside the task that it runs."""
AHEAD_IN_ALL = 1000
"""Launches that wait at all agents together, or one at each where that is more: about a second of the driver's work."""
BUSY_LOOKED_AT = 16
"""Agents that are looked at for one that can be given a launch ahead, and two for each launch; of more, by turns."""
RECALL_AFTER = 0.005
"""Seconds after which an agent that has nothing to do is given what waits at others: the scheduler may have more."""
SPREAD_AFTER = 0.005
"""Seconds after which a process of batch isolation that has nothing to do is given what waits at others."""
