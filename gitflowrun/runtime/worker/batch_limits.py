"""Limits of batch isolation: how long a process is used for more tasks."""

TASKS_A_CHILD = 500
"""Tasks that one process runs: what its tasks leave in memory is gone then."""
SECONDS_A_CHILD = 1.0
"""Seconds for which it runs tasks: a fork costs nothing beside tasks that take longer."""
