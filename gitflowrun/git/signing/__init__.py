"""Signatures of commits: made when a run ends, and judged."""
