"""A stand-in HubSpot and a stand-in Stripe: pure state machines with an HTTP face, for rehearsal and tests."""
