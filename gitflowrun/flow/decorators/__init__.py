"""Decorators of steps and flows: one interface (`base`), one file for each, found by name (`registry`).

What a decorator is declared with stays with the function or class it was written on (`declare`). What a flow class
has in the end, inherited ones and those of `--with` included, is in `attached`; what they do around one attempt of a
task in `task_hooks`.
"""
