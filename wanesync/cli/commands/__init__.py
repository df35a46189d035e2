"""The commands, one module each; ``pause`` holds ``resume`` too, and ``diff`` and ``reconcile`` share theirs."""
