"""``bench reconcile``: known differences between both sides, and what ``diff`` finds of them. Begin with ``run``."""
