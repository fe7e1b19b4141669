"""The limits of engines and of what they start, which nothing else is measured by."""

from __future__ import annotations

AGENT_WORDS = 8 << 10
"""Bytes at the end of what an agent has printed that are kept, to say why it has ended."""
AGENT_WORDS_TOLD = 600
"""Characters of these that are told."""
AGENT_PAUSE = 1.0
"""Seconds after which it is seen that an agent has ended whose output another process still holds."""

ENGINE_PATIENCE = 6.0
"""Seconds in which a scheduler of an engine must answer at its address."""
ENGINE_START = 15.0
"""Seconds in which it must have told what a client of it needs to know, versions and workers."""
ENGINE_FACTS = 3.0
"""Seconds between two looks at which workers there are."""
ENGINE_END = 10.0
"""Seconds that an engine has for its end."""
AGENTS_END = 3.0
"""Seconds that agents have for their end, when the run has ended: a cluster may kill what a client leaves behind."""
POOL_END = 3.0
"""Seconds that the processes of a pool have for theirs, when their agents were sent home."""
LIBRARIES_END = 8
"""Whole seconds that the libraries of a user's executor have for what they do at the end of the interpreter."""
EXECUTORS_MADE = 20
"""How often a run asks a factory for an executor, of which each but the last one has broken."""
