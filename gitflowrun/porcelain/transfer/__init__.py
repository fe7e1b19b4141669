"""Runs and tags sent to remotes and fetched from them."""
