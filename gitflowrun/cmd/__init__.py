"""Programs that are started with `python -m gitflowrun.cmd.NAME`, as the seed and Metaflow name them."""
