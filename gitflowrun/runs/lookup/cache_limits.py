"""The limits of the step cache."""

FILES_OF_A_TASK = 1_000
"""Files that a task may have loaded or opened: one with more is executed again."""
YOUNG_FILE = 256 << 20
"""Bytes of a file that a task opens and that may have changed since the snapshot: of a larger one that is assumed."""
CANDIDATES = 4
"""Earlier tasks of the same key that are looked at for one that can be had: the newest."""
INDEXED_TASKS = 500_000
"""Tasks that the index of the step cache knows: the newest, about 150 MB."""
RUNS_READ = 50
"""Runs whose tasks are entered where there is no index yet, or that a fetch has brought: the newest."""
ENTERED = 2.0
"""Seconds (CPU) for which such runs are read before a run begins: what is left of them is read by the next one."""
ORIGINS_OPEN = 16
"""Earlier runs whose trees are kept in memory while a run takes tasks from them."""
RECORDS_KEPT = 64
"""Records of tasks that are kept in memory for those that follow them."""
LOOKED_UP = 0.05
"""Seconds for which tasks are looked up before the scheduler listens to those that run."""
NAMES_TOLD = 3
"""Inputs, parameters or packages that are named where all of them have changed."""
MENTIONS_SEARCHED = 1_000
"""Changed files that are searched for in the code of a task; where more have changed, it counts as if it had one."""
