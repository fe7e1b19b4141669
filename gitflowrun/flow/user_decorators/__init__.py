"""Decorators and mutators that users write themselves: functions and classes around steps, and changes to a flow.

`user_decorator` has what all of them are: how they are written on a step or a class, their arguments, their names.
`user_step` and `generator_form` are the two ways to write a decorator of steps, which `wrapped_step` calls around
them; `mutators` are the classes that change a flow, by means of `mutable_step` and `mutable_flow`, when `mutation`
calls them.
"""
