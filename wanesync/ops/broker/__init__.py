"""The broker between the parts: a hardened Mosquitto configuration, its certificates, its roles and their credentials.

``folder`` is the place where it all is, ``setup`` writes it, ``credentials`` rotates and revokes.
"""
