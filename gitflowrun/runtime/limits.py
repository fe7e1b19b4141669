"""The limits of running a flow: all sizes in bytes, all times in seconds."""

# Messages between processes (`ipc`).
INLINE_MESSAGE = 60 << 10
"""A larger message travels as a memory file; with its head it must fit into MESSAGE_BUFFER."""
MESSAGE_BUFFER = 64 << 10
MESSAGE_FILES = 8
"""Descriptors that one message may carry."""

# A run as asked for, where the command line says nothing.
MAX_WORKERS = 16
"""Tasks that run at the same time."""
MAX_NUM_SPLITS = 100
"""Items that a foreach may have."""
PARAMETER_TEXT = 1_000
"""Characters that INFO keeps of a parameter's value."""

# Processes.
ORPHANS_TIME = 2.0
"""After a killed scheduler its orphans are killed for that long: longer ones fork faster than they die."""
ORPHANS_PAUSE = 0.01
FILES_PER_TASK = 4
"""Descriptors that a task takes of the scheduler: two pipes, a socket, and one of a message on its way."""
SCHEDULER_FILES = 64
"""Descriptors that the scheduler may need for itself: packs it reads and writes, git, channels."""
LOST_PROCESSES = 3
"""How often a task is launched again when its process was lost through no fault of its own."""
RELAUNCH_DELAY = 0.1
"""Before the first new try when no process can be made; doubled each time."""

# Commits of the scheduler.
COMMIT_INTERVAL = 0.2
"""Between commits that let nothing follow."""
COMMIT_SHARE = 20
"""That interval is at least this many times what a commit costs: commits take at most 5 % of a run."""
UNCOMMITTED_OUTPUT = 32 << 20
"""More output than that is not kept in memory for a later commit."""

# The end of a run.
GRACE = 5.0
"""Running tasks have that long to end by themselves once the run is over."""
LAST_GRACE = 1.0
"""Between asking a task to end and killing it."""

# What is shown, and logs.
PROGRESS_INTERVAL = 0.2
HEARTBEAT = 10.0
"""Between reports of progress when nothing changes."""
LIVE_AFTER = 1.0
"""A task that runs for longer can be read while it runs."""
LIVE_KEPT = 7 * 86_400.0
"""Live logs of killed runs are removed after that."""
LONGEST_LINE = 64 << 10
"""A longer line is shown in pieces."""
PIPE_READ = 64 << 10
LINGERING_OUTPUT = 1 << 20
"""Read from a pipe after its task's end: more can only come from processes that the task left behind."""

# Tasks.
KEPT_RECORDS = 64
"""Task records that a zygote keeps for the next fork."""
PRELOADED_VALUE = 2 << 20
"""A larger parameter or foreach item is not loaded before the fork."""
ERROR_TEXT = 2_000
"""Characters of an error that a record keeps."""
WARM_UP_ROUNDS = 12
"""Runs of the warm-up for a foreach: the interpreter adapts a function when it has run eight times."""
