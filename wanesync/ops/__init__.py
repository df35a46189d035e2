"""What an operator reads and changes: plain calls that take a ``Store`` or a ``Tx`` and return frozen values.

The command line and the web pages use them alike. Begin with ``status`` and ``alarms`` for reading, ``holds`` for
changing.
"""
