"""What surrounds a payment: cards and tokens, setup intents, refunds, disputes, checkout, the balance.

Charges, payment intents and payment methods are one folder up. Begin with ``refunds``.
"""
