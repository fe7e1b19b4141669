"""The commands of `git runs`: declared in `commands`, with a module for what each does."""
