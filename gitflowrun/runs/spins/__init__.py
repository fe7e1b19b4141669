"""Spun tasks: runs of one task each, below `refs/runs-spin/`, which are no part of the history of runs."""
