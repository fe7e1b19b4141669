"""Whether runs are whole, and who signed them."""
