"""Configs: values that are read before a run begins and that parameters, decorators and steps can use.

They are found when the command line is read (`configure`), and are the same in all processes of the run (`known`).
What stands in the class until then are references to them (`expression`).
"""
