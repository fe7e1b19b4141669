"""Metaflow's name in an interpreter that a program has started: it gives way to what `install` makes."""

from gitflowrun.compat import install

install()
