"""The process that owns the repository and runs a flow."""
