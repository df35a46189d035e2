"""The policy of tests: requests may go to a stand-in on this machine."""

from __future__ import annotations

from wanesync.adapters.network import NetworkPolicy

ANY_ADDRESS = NetworkPolicy(allow_base_url=True)
