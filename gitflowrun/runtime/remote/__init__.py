"""What runs on the workers of an engine: agents, which execute the tasks of a run there."""
