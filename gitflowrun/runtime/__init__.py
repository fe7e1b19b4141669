"""Running flows: the processes of a run, and what passes between them."""
