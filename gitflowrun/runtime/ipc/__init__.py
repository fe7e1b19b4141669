"""Messages and channels between the processes of a run."""
