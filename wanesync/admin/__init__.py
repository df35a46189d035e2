"""The admin service: pages and an API. Begin with ``app``; ``security`` lets operators in."""
