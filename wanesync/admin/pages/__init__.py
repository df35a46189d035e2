"""The pages, one module per area: its ``router``, and its ``NAV`` where it stands in the menu."""
