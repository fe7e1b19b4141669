"""The limits of the client: how much is shown, kept and written, and for how long something holds."""

from __future__ import annotations

MAX_ATTEMPTS = 6
"""Attempts that a task can have; Metaflow's limit."""
TAGS_FRESH = 1.0
"""Seconds for which the tags of a listing hold before they are read again."""
NAMES_IN_A_HINT = 8
"""Names that the hint of a "no such" error lists."""
ROWS_SHOWN = 20
"""Rows of a notebook's table that may have thousands."""
CELL_BYTES = 4096
"""Stored bytes of an artifact that becomes a cell of a data frame."""
MAX_CODE_FILES = 1_000_000
"""Entries of a code tree that is written to disk or to an archive."""
MAX_CODE_DEPTH = 256
"""Directories inside each other in such a tree."""
MAX_INFO_FILE = 64 << 20
"""Bytes of an INFO file beside a script; as much as a record may have."""
