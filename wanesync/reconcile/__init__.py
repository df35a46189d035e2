"""Bulk work: list both sides, compare them, then show what differs, save it as a plan, or queue its repair.

Begin with ``session``, the calls behind ``diff`` and ``reconcile``, and ``run``, which carries them out: ``listing`` or
``changed_since`` fills the ``snapshot``, and ``compare`` evaluates it.
"""
