"""The command lines: `git runs` and the commands of a flow file. Only this layer and `cmd` print."""
