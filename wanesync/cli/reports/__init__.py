"""What ``diff`` and ``reconcile`` show of a comparison: screen and JSON (``differences``), CSV, and an HTML page."""
