"""Pages that a browser shows of runs while somebody looks at them."""
