"""The checks of ``wanesync doctor``: each finds in one line what is wrong with a set-up, and the way out.

Begin with ``doctor``, which runs all of them; ``findings`` has what they return.
"""
