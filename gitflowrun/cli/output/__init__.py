"""Output for people: terminal and pager, tables, texts."""
