"""Starting the processes of a run from the process of the flow file."""
