"""Alerts: alarms and measures become states, states become notices, notices are delivered (docs/alerts.md).

Begin with ``task`` (what a process runs), then ``situation``, ``evaluator``, ``deliverer``; ``listing`` and ``changes``
are for the command line, the page and the API.
"""
