"""Other repositories."""
