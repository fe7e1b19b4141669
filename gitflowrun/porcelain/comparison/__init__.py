"""What differs between runs, and between values."""
