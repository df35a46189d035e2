"""The API below ``/api/v1``, one module per area, each with its ``router``."""
