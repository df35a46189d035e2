"""Stand-ins for HubSpot and Stripe: pure state machines behind HTTP, for the demo, benchmarks and tests.

Begin with ``stand_in``, their interface, then ``server``, which runs both; ``hubspot`` and ``stripe`` hold the two.
"""
