"""How notices leave: webhooks, e-mail, commands, and what apprise can reach. Begin with ``messenger``."""
