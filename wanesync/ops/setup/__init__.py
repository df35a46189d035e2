"""What a set-up makes: a configuration from answers, our things in HubSpot, its app project, Stripe's endpoint.

Begin with ``answers``; what is made is checked by ``ops.checks``.
"""
