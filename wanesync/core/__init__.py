"""Pure decisions: values in, values out, no I/O; the current time is an argument.

Begin with ``model`` (the values), then ``planner`` (one contact or customer in, a plan out) and ``merge``.
"""
