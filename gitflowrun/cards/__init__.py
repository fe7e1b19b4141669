"""Cards: HTML pages about tasks, which lie in the runs' trees."""
