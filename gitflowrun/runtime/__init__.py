"""Executes flows: scheduler, zygote, tasks, logs, resume. Importing it imports nothing else."""
