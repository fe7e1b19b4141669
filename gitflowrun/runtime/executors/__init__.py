"""What gives tasks their processes."""
