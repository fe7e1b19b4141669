"""The commands of `git runs`: a module each, with a click command named `command`."""
