"""Commands that share runs."""
