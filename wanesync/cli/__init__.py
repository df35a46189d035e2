"""The command line: commands parse options, call ``ops``, ``reconcile`` or ``wiring``, print, and set the exit code.

Begin with ``command_table``, which names the module of every command; ``reports`` shows what a comparison found.
"""
