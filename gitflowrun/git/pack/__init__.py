"""Pack files: read, written and published."""
