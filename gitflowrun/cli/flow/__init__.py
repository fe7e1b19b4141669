"""The command line of a flow file: a module for each command, imported when it is typed."""
