"""Programs that start flows: `Runner` for files, `NBRunner` for notebooks."""
