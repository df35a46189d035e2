"""The errors of the sandbox: it shares none with the product."""

from __future__ import annotations


class SandboxError(Exception):
    """Root of the errors of the sandbox. The message says what is wrong and what would be right."""


class InvalidRequest(SandboxError):
    """An option, an address or an edit that the sandbox does not accept."""


class SandboxUnreachable(SandboxError):
    """No sandbox answers at an address, or a sandbox process did not start."""
