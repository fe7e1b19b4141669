"""Commands that mark runs."""
