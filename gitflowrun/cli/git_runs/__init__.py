"""The commands of `git runs`: a module for each, with a click command `<name>_command`."""
