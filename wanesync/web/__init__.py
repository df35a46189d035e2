"""The web server: webhook endpoints, health checks and metrics. Begin with ``app``; ``server`` runs it in a process."""
