"""Programs that are started with `python -m gitflowrun.cmd.NAME`, under Metaflow's module names."""
