"""The demo: real processes of wanesync between the stand-ins, shown step by step and checked at the end.

Begin with ``run``; ``installation`` starts the processes, ``checks`` compares the journals of both stand-ins.
"""
