"""Commands that remove runs."""
