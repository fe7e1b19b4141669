"""Executes flows: the scheduler, the zygote and its tasks, resume. Importing it imports nothing else."""
