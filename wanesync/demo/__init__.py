"""The demo: a demo told with real processes beside the sandbox."""
