"""Runs removed, put back, and freed for good."""
