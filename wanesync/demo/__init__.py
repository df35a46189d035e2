"""The demo: a story told with real processes beside the sandbox."""
