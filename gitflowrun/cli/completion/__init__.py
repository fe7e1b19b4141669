"""Completion of `git runs` in shells: what they are told of its verbs, and the scripts that tell them."""
