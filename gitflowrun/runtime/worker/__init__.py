"""The processes that execute tasks."""
